"""The methods there are. Adding one touches its file, its test and one line here."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from addapt._errors import OptionError, UnknownNameError
from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.gates import RESOLUTION, Gates, TwoLooks
from addapt.engines.torch.methods.base import AdaptedModel, Method
from addapt.engines.torch.methods.bias import Bias
from addapt.engines.torch.methods.da3 import DA3
from addapt.engines.torch.methods.finetune import Finetune, FinetuneFrozenBn
from addapt.engines.torch.methods.head import Head
from addapt.engines.torch.methods.lora import LoRA
from addapt.engines.torch.methods.norm import Norm
from addapt.engines.torch.methods.parallel_adapter import ParallelAdapter
from addapt.engines.torch.methods.piggyback import Piggyback
from addapt.engines.torch.methods.repnet import RepNet
from addapt.engines.torch.methods.series_adapter import SeriesAdapter
from addapt.engines.torch.methods.tinytl import TinyTL

METHODS: dict[str, type[Method]] = {
    "bias": Bias,
    "da3": DA3,
    "finetune": Finetune,
    "finetune_frozen_bn": FinetuneFrozenBn,
    "head": Head,
    "lora": LoRA,
    "norm": Norm,
    "parallel_adapter": ParallelAdapter,
    "piggyback": Piggyback,
    "repnet": RepNet,
    "series_adapter": SeriesAdapter,
    "tinytl": TinyTL,
}


def build_method(name: str, hyperparameters: Mapping[str, Any] | None = None) -> Method:
    """Build the method called `name`.

    Raises:
        UnknownNameError: there is no such method.
        OptionError: the method has no such hyper-parameter, or refuses its value.
    """
    if name not in METHODS:
        raise UnknownNameError("method", name, METHODS)
    method = METHODS[name]
    known = {field.name: field.default for field in dataclasses.fields(method)}
    for given, value in (hyperparameters or {}).items():
        if given not in known:
            raise OptionError(
                f"Method {name!r} has no hyper-parameter {given!r}. "
                f"It has: {', '.join(known) or 'none'}."
            )
        if not _is_like(value, known[given]):
            raise OptionError(
                f"Hyper-parameter {given!r} of method {name!r} is {value!r}, which is not of the "
                f"type of its default {known[given]!r}."
            )
    return method(**(hyperparameters or {}))


def _is_like(value: object, default: object) -> bool:
    """Tell whether a value, which may come from a file, is of the type of the default."""
    if isinstance(default, bool):
        return isinstance(value, bool)
    if default is None:  # a whole number, chosen by the backbone unless given
        return value is None or type(value) is int
    return type(value) is int or (isinstance(default, float) and isinstance(value, float))


def attach(
    backbone: Backbone, method: Method, classes: int, gates: Gates | None = None
) -> AdaptedModel:
    """Make an ordinary module of a frozen backbone and a method's adaptor.

    Args:
        backbone: shared, never changed.
        method: e.g. `addapt.DA3()`.
        classes: number of classes, the width of the logits.
        gates: what may be left out. Have `measure_gates` look at some images before training,
            and `settle_gates` at others after it. Static gates of resolution are no part of a
            model: give it smaller images.

    Raises:
        OptionError: the method or the backbone has no such gates.
    """
    check_gate_unit(method, gates)
    if gates is None:
        return method.attach(backbone, classes)
    if isinstance(method, DA3) and gates.unit != RESOLUTION:
        return method.attach(backbone, classes, gates)
    model = method.attach(backbone, classes)
    if gates.dynamic:
        model.looks = TwoLooks(gates).to(model.head.weight.device)
    return model


def check_gate_unit(method: Method, gates: Gates | None) -> None:
    """Refuse gates of a unit that a method does not have.

    Args:
        method: how to adapt.
        gates: what is asked for, if anything.

    Raises:
        OptionError: the method has none of this unit.
    """
    if gates is not None and gates.unit != RESOLUTION and not isinstance(method, DA3):
        raise OptionError(
            f"Method {method.name!r} has no gates of {gates.unit}: use 'da3', or the gate unit "
            f"{RESOLUTION!r}."
        )
