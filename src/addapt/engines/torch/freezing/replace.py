"""The lean forms of operations that stand alone: activations and pooling."""

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import fx, nn

from addapt._errors import OptionError
from addapt.engines.torch.freezing.patterns import (
    activation_of,
    changes_its_input,
    factors_of,
    is_changed_later,
    is_parameter,
    module_of,
    settings_of,
)
from addapt.engines.torch.ops.activation import LEAN_ACTIVATIONS, smooth, smooth_8bit
from addapt.engines.torch.ops.gated import gated, gated_8bit
from addapt.engines.torch.ops.pad import pad_edges
from addapt.engines.torch.ops.pool import adaptive_avg_pool2d, avg_pool2d, max_pool2d
from addapt.engines.torch.ops.two_slopes import hardsigmoid, hardtanh, leaky_relu, prelu

Codes = Literal["8bit"]
Call = tuple[Callable[..., Any], tuple[Any, ...]]

SMOOTH_MODULES: dict[type[nn.Module], str] = {
    nn.Hardswish: "hardswish",
    nn.Mish: "mish",
    nn.SELU: "selu",
    nn.Sigmoid: "sigmoid",
    nn.SiLU: "silu",
    nn.Tanh: "tanh",
}
SMOOTH_FUNCTIONS: dict[Any, str] = {
    F.hardswish: "hardswish",
    F.mish: "mish",
    F.selu: "selu",
    torch.selu: "selu",
    F.sigmoid: "sigmoid",
    torch.sigmoid: "sigmoid",
    F.silu: "silu",
    F.tanh: "tanh",
    torch.tanh: "tanh",
}
SMOOTH_METHODS = {"sigmoid": "sigmoid", "tanh": "tanh"}
# Layer, function, the settings of both with their defaults, and which of them have a name.
SMOOTH_WITH_SETTINGS: tuple[
    tuple[type[nn.Module], Any, dict[str, Any], dict[tuple[Any, ...], str]], ...
] = (
    (nn.ELU, F.elu, {"alpha": 1.0}, {(1.0,): "elu"}),
    (nn.GELU, F.gelu, {"approximate": "none"}, {("none",): "gelu", ("tanh",): "gelu_tanh"}),
    (nn.Softplus, F.softplus, {"beta": 1.0, "threshold": 20.0}, {(1.0, 20.0): "softplus"}),
)
KEEP_THEIR_RESULT = {"sigmoid", "tanh"}
WINDOW = {"kernel_size": None, "stride": None, "padding": 0}
# Layer, function, lean form, and the settings of all three with their defaults.
EXACT: tuple[tuple[type[nn.Module], Any, Callable[..., Any], dict[str, Any]], ...] = (
    (nn.LeakyReLU, F.leaky_relu, leaky_relu, {"negative_slope": 0.01}),
    (nn.Hardtanh, F.hardtanh, hardtanh, {"min_val": -1.0, "max_val": 1.0}),
    (nn.Hardsigmoid, F.hardsigmoid, hardsigmoid, {}),
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
    name = smooth_name(node)
    if name is not None:
        if codes == "8bit":
            return smooth_8bit, (source, name)
        # In place it would keep a copy of its input; ELU and SELU keep their result then.
        copies = changes_its_input(node) and name not in ("elu", "selu")
        return (smooth, (source, name)) if copies else None
    if node.target is torch.prelu and len(node.args) == 2 and is_parameter(node.args[1]):
        return prelu, node.args
    factors = factors_of(node)
    if factors is not None and not any(map(is_parameter, factors)):
        if codes == "8bit":
            return gated_8bit, factors
        sources = tuple(map(source_of, factors))
        return (gated, (*factors, *sources)) if any(sources) else None
    padding = _edges(node)
    if padding is not None:
        return pad_edges, (source, *padding)
    for kind, function, lean, defaults in EXACT:
        if (given := settings_of(node, kind, function, defaults)) is not None:
            return lean, (source, *given)
    return None


def _edges(node: fx.Node) -> tuple[Any, str] | None:
    """Return sides and kind of a padding of maps with what stands at their edges."""
    if (mirror := module_of(node, nn.ReflectionPad2d)) is not None:
        return tuple(mirror.padding), "reflect"
    if (edge := module_of(node, nn.ReplicationPad2d)) is not None:
        return tuple(edge.padding), "replicate"
    if node.target is not F.pad:
        return None
    given = dict(zip(("pad", "mode"), node.args[1:], strict=False)) | node.kwargs
    sides, edges = given.get("pad"), str(given.get("mode", "constant"))
    if edges not in ("reflect", "replicate") or not isinstance(sides, (tuple, list)):
        return None
    return (tuple(sides), edges) if len(sides) == 4 else None


def source_of(factor: fx.Node) -> tuple[fx.Node, str] | None:
    """Return what a smooth activation that keeps its input was given, and the activation's name."""
    name = smooth_name(factor)
    source = factor.args[0] if factor.args else None
    if name is None or name in KEEP_THEIR_RESULT or not isinstance(source, fx.Node):
        return None
    if changes_its_input(factor) or is_changed_later(factor):
        return None
    return source, name


def smooth_name(node: fx.Node) -> str | None:
    """Return the name of the smooth activation that `node` computes, if it is one."""
    for kind, function, defaults, names in SMOOTH_WITH_SETTINGS:
        if (given := settings_of(node, kind, function, defaults)) is not None:
            return names.get(given)
    if node.op == "call_module":
        return next((name for kind, name in SMOOTH_MODULES.items() if module_of(node, kind)), None)
    if node.op == "call_method":
        return SMOOTH_METHODS.get(str(node.target))
    if node.target is smooth:
        return str(node.args[1])
    return SMOOTH_FUNCTIONS.get(node.target)
