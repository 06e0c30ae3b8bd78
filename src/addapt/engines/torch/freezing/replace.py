"""The lean forms of operations that stand alone: activations and pooling."""

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import fx, nn

from addapt._errors import OptionError
from addapt.engines.torch.freezing.patterns import activation_of, module_of
from addapt.engines.torch.ops.activation import LEAN_ACTIVATIONS, smooth_8bit
from addapt.engines.torch.ops.pool import adaptive_avg_pool2d, avg_pool2d, max_pool2d

Codes = Literal["8bit"]
Call = tuple[Callable[..., Any], tuple[Any, ...]]

SMOOTH_MODULES: dict[type[nn.Module], str] = {
    nn.SiLU: "silu",
    nn.Hardswish: "hardswish",
    nn.Sigmoid: "sigmoid",
    nn.Hardsigmoid: "hardsigmoid",
    nn.Tanh: "tanh",
}
SMOOTH_FUNCTIONS: dict[Any, str] = {
    F.silu: "silu",
    F.hardswish: "hardswish",
    F.sigmoid: "sigmoid",
    torch.sigmoid: "sigmoid",
    F.hardsigmoid: "hardsigmoid",
    F.tanh: "tanh",
    torch.tanh: "tanh",
}
SMOOTH_METHODS = {"sigmoid": "sigmoid", "tanh": "tanh"}
WINDOW = {"kernel_size": None, "stride": None, "padding": 0}
# Layer, function, lean form, and the settings of all three with their defaults.
POOLING: tuple[tuple[type[nn.Module], Any, Callable[..., Any], dict[str, Any]], ...] = (
    (
        *(nn.MaxPool2d, F.max_pool2d, max_pool2d),
        {**WINDOW, "dilation": 1, "ceil_mode": False},
    ),
    (
        *(nn.AvgPool2d, F.avg_pool2d, avg_pool2d),
        {**WINDOW, "ceil_mode": False, "count_include_pad": True, "divisor_override": None},
    ),
    (nn.AdaptiveAvgPool2d, F.adaptive_avg_pool2d, adaptive_avg_pool2d, {"output_size": None}),
)


def check_codes(codes: str | None) -> None:
    """Raise an OptionError unless `codes` are known."""
    if codes is not None and codes not in get_args(Codes):
        raise OptionError(f'There are no codes {codes!r} for derivatives: give "8bit", or none.')


def lean_call(node: fx.Node, codes: Codes | None) -> Call | None:
    """Return the function and the arguments that do the same as `node` and keep less, if known."""
    source = node.args[0] if node.args else None
    if not isinstance(source, fx.Node):
        return None
    activation = activation_of(node)
    if activation is not None:
        return LEAN_ACTIVATIONS[activation], (source,)
    smooth = smooth_name(node)
    if smooth is not None:
        return (smooth_8bit, (source, smooth)) if codes == "8bit" else None
    return _pooling(node, source)


def smooth_name(node: fx.Node) -> str | None:
    """Return the name of the smooth activation that `node` computes, if it is one."""
    if node.op == "call_module":
        gelu = module_of(node, nn.GELU)
        if gelu is not None:
            return "gelu_tanh" if gelu.approximate == "tanh" else "gelu"
        return next((name for kind, name in SMOOTH_MODULES.items() if module_of(node, kind)), None)
    if node.op == "call_method":
        return SMOOTH_METHODS.get(str(node.target))
    if node.target is F.gelu:
        approximate = node.kwargs.get("approximate", node.args[1] if len(node.args) > 1 else "none")
        return "gelu_tanh" if approximate == "tanh" else "gelu"
    return SMOOTH_FUNCTIONS.get(node.target)


def _pooling(node: fx.Node, source: fx.Node) -> Call | None:
    """Recognise pooling; names of settings are as torch has them, in layers and functions alike."""
    for kind, function, lean, defaults in POOLING:
        layer = module_of(node, kind)
        if layer is not None:
            given = vars(layer)
        elif node.target is function:
            given = dict(zip(defaults, node.args[1:], strict=False)) | dict(node.kwargs)
        else:
            continue
        if given.get("return_indices"):
            return None
        return lean, (source, *(given.get(name, default) for name, default in defaults.items()))
    return None
