"""addapt: a frozen vision network learns new visual domains, one small adaptor each.

Names are imported when they are first used, so that nothing waits for PyTorch, or needs it,
without using it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from addapt._errors import AddaptError
    from addapt.engines.torch.backbones import Backbone, load_backbone
    from addapt.engines.torch.freezing import audit, freeze, pack_weights, unpack_weights
    from addapt.engines.torch.memory import accumulate_gradients, measure
    from addapt.engines.torch.methods import AdaptedModel, attach
    from addapt.gates import GateConfig
    from addapt.learning import Controls, Learner
    from addapt.methods import (
        DA3,
        Bias,
        Finetune,
        FinetuneFrozenBn,
        Head,
        LoRA,
        Method,
        Norm,
        ParallelAdapter,
        Piggyback,
        RepNet,
        SeriesAdapter,
        TinyTL,
        register_method,
    )
    from addapt.watching import Watching

__all__ = [
    "SeriesAdapter",
    "Piggyback",
    "ParallelAdapter",
    "Norm",
    "LoRA",
    "DA3",
    "AdaptedModel",
    "AddaptError",
    "Backbone",
    "Bias",
    "Controls",
    "Finetune",
    "FinetuneFrozenBn",
    "GateConfig",
    "Head",
    "Learner",
    "Method",
    "RepNet",
    "TinyTL",
    "Watching",
    "accumulate_gradients",
    "attach",
    "audit",
    "freeze",
    "load_backbone",
    "measure",
    "pack_weights",
    "register_method",
    "unpack_weights",
]

_ROOMS = {  # of what is not in `addapt.methods`
    "AdaptedModel": "addapt.engines.torch.methods",
    "AddaptError": "addapt._errors",
    "Backbone": "addapt.engines.torch.backbones",
    "load_backbone": "addapt.engines.torch.backbones",
    "GateConfig": "addapt.gates",
    "Controls": "addapt.learning",
    "Learner": "addapt.learning",
    "Watching": "addapt.watching",
    "accumulate_gradients": "addapt.engines.torch.memory",
    "attach": "addapt.engines.torch.methods",
    "audit": "addapt.engines.torch.freezing",
    "freeze": "addapt.engines.torch.freezing",
    "measure": "addapt.engines.torch.memory",
    "pack_weights": "addapt.engines.torch.freezing",
    "unpack_weights": "addapt.engines.torch.freezing",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'addapt' has no attribute {name!r}")
    room = _ROOMS.get(name, "addapt.methods")
    if room.startswith("addapt.engines.torch"):
        from addapt.engines.installed import require_torch

        require_torch(f"addapt.{name}")
    return getattr(import_module(room), name)


def __dir__() -> list[str]:
    return sorted(__all__)
