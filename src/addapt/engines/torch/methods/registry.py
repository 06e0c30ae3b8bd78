"""From a method to the model that PyTorch computes."""

from collections.abc import Callable
from functools import partial
from typing import Any

from addapt._errors import OptionError
from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.methods.base import AdaptedModel, Adaptor
from addapt.engines.torch.methods.bias import TrainedBiases
from addapt.engines.torch.methods.convolutions import ConvolutionAdaptor, adapter_or_shift
from addapt.engines.torch.methods.da3 import AdditiveAdaptor
from addapt.engines.torch.methods.finetune import TunedCopy
from addapt.engines.torch.methods.head import NoAdaptor
from addapt.engines.torch.methods.lora import LowRank
from addapt.engines.torch.methods.norm import scale_shift
from addapt.engines.torch.methods.parallel_adapter import Parallel
from addapt.engines.torch.methods.piggyback import MaskedConvolutions
from addapt.engines.torch.methods.repnet import SideNetwork
from addapt.engines.torch.methods.series_adapter import Series
from addapt.engines.torch.methods.tinytl import LiteResiduals
from addapt.gates import BLOCKS, RESOLUTION, GateConfig
from addapt.methods import DA3, Method, registered_attach, require_registered

ADAPTORS: dict[str, Callable[[Backbone, Any], Adaptor]] = {
    "bias": TrainedBiases,
    "da3": AdditiveAdaptor,
    "finetune": TunedCopy,
    "finetune_frozen_bn": TunedCopy,
    "head": NoAdaptor,
    "lora": lambda backbone, method: ConvolutionAdaptor(backbone, partial(LowRank, method=method)),
    "norm": lambda backbone, _: ConvolutionAdaptor(backbone, scale_shift),
    "parallel_adapter": lambda backbone, _: ConvolutionAdaptor(
        backbone, adapter_or_shift(Parallel)
    ),
    "piggyback": MaskedConvolutions,
    "repnet": SideNetwork,
    "series_adapter": lambda backbone, _: ConvolutionAdaptor(backbone, adapter_or_shift(Series)),
    "tinytl": LiteResiduals,
}


def attach(
    backbone: Backbone, method: Method, classes: int, gates: GateConfig | None = None
) -> AdaptedModel:
    """Make an ordinary module of a frozen backbone, which is never changed, and an adaptor.

    Args:
        backbone: shared by all models made of it.
        method: e.g. `addapt.DA3()`.
        classes: number of classes, the width of the logits.
        gates: what may be left out. Call `model.gates.measure` before training, `refit` before
            each epoch and `settle` after training. Gates of resolution are no part of a model:
            give it smaller images, or make two.

    Raises:
        OptionError: the method is not registered, or it or the backbone has no such gates.
    """
    require_registered(method)
    check_gate_unit(method, gates)
    if (build := registered_attach(method)) is not None:
        model = build(method, backbone, classes)
        if not isinstance(model, AdaptedModel):
            raise OptionError(
                f"What was registered for the method {method.name!r} made {model!r}: it must "
                "return an addapt.AdaptedModel."
            )
        return model
    if isinstance(method, DA3) and gates is not None and gates.unit == BLOCKS:
        return AdaptedModel(backbone, AdditiveAdaptor(backbone, method, gates), classes)
    return AdaptedModel(backbone, ADAPTORS[method.name](backbone, method), classes)


def check_gate_unit(method: Method, gates: GateConfig | None) -> None:
    """Refuse gates of a unit that a method does not have.

    Raises:
        OptionError: the method has none of this unit.
    """
    has_others = isinstance(method, DA3) and registered_attach(method) is None
    if gates is not None and gates.unit != RESOLUTION and not has_others:
        raise OptionError(
            f"Method {method.name!r} has no gates of {gates.unit}: use 'da3', or the gate unit "
            f"{RESOLUTION!r}."
        )
