"""addapt: a frozen vision network learns new visual domains, one small adaptor each.

Names are imported when they are first used, so that `addapt --help` need not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from addapt._errors import AddaptError
    from addapt.engines.torch.backbones import Backbone, load_backbone
    from addapt.engines.torch.freezing import audit, freeze, pack_weights, unpack_weights
    from addapt.engines.torch.gates import Gates
    from addapt.engines.torch.memory import accumulate_gradients, measure
    from addapt.engines.torch.methods import (
        DA3,
        AdaptedModel,
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
        attach,
        measure_gates,
        settle_gates,
        switch_gates,
    )
    from addapt.learning import Learner

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
    "Finetune",
    "FinetuneFrozenBn",
    "Gates",
    "Head",
    "Learner",
    "Method",
    "RepNet",
    "TinyTL",
    "accumulate_gradients",
    "attach",
    "audit",
    "freeze",
    "load_backbone",
    "measure",
    "measure_gates",
    "pack_weights",
    "settle_gates",
    "switch_gates",
    "unpack_weights",
]

_ROOMS = {
    "AddaptError": "addapt._errors",
    "Backbone": "addapt.engines.torch.backbones",
    "load_backbone": "addapt.engines.torch.backbones",
    "Gates": "addapt.engines.torch.gates",
    "Learner": "addapt.learning",
    "accumulate_gradients": "addapt.engines.torch.memory",
    "audit": "addapt.engines.torch.freezing",
    "freeze": "addapt.engines.torch.freezing",
    "measure": "addapt.engines.torch.memory",
    "pack_weights": "addapt.engines.torch.freezing",
    "unpack_weights": "addapt.engines.torch.freezing",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'addapt' has no attribute {name!r}")
    return getattr(import_module(_ROOMS.get(name, "addapt.engines.torch.methods")), name)


def __dir__() -> list[str]:
    return sorted(__all__)
