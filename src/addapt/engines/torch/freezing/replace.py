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


def check_codes(codes: str | None) -> None:
    """Raise unless `codes` are known.

    Raises:
        OptionError: they are not.
    """
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
    return _module_pooling(node, source) if node.op == "call_module" else _pooling(node)


def smooth_name(node: fx.Node) -> str | None:
    """Return the name of the smooth activation that `node` computes, if it is one."""
    if node.op == "call_module":
        gelu = module_of(node, nn.GELU)
        if isinstance(gelu, nn.GELU):
            return "gelu_tanh" if gelu.approximate == "tanh" else "gelu"
        return next((name for kind, name in SMOOTH_MODULES.items() if module_of(node, kind)), None)
    if node.op == "call_method":
        return SMOOTH_METHODS.get(str(node.target))
    if node.target is F.gelu:
        approximate = node.kwargs.get("approximate", node.args[1] if len(node.args) > 1 else "none")
        return "gelu_tanh" if approximate == "tanh" else "gelu"
    return SMOOTH_FUNCTIONS.get(node.target)


def _module_pooling(node: fx.Node, source: fx.Node) -> Call | None:
    pool = module_of(node, nn.MaxPool2d)
    if isinstance(pool, nn.MaxPool2d) and not pool.return_indices:
        settings = (pool.kernel_size, pool.stride, pool.padding, pool.dilation, pool.ceil_mode)
        return max_pool2d, (source, *settings)
    average = module_of(node, nn.AvgPool2d)
    if isinstance(average, nn.AvgPool2d):
        sides = (average.kernel_size, average.stride, average.padding)
        rest = (average.ceil_mode, average.count_include_pad, average.divisor_override)
        return avg_pool2d, (source, *sides, *rest)
    adaptive = module_of(node, nn.AdaptiveAvgPool2d)
    if isinstance(adaptive, nn.AdaptiveAvgPool2d):
        return adaptive_avg_pool2d, (source, adaptive.output_size)
    return None


def _pooling(node: fx.Node) -> Call | None:
    """Recognise pooling functions whose arguments are numbers; names are as torch has them."""
    if node.target is F.adaptive_avg_pool2d:
        size = node.args[1] if len(node.args) > 1 else node.kwargs["output_size"]
        return adaptive_avg_pool2d, (node.args[0], size)
    if node.target is F.avg_pool2d:
        return avg_pool2d, _arguments(node, AVG_POOL_ARGUMENTS)
    if node.target is F.max_pool2d and not node.kwargs.get("return_indices"):
        return max_pool2d, _arguments(node, MAX_POOL_ARGUMENTS)
    return None


REQUIRED = object()
AVG_POOL_ARGUMENTS = {
    "kernel_size": REQUIRED,
    "stride": None,
    "padding": 0,
    "ceil_mode": False,
    "count_include_pad": True,
    "divisor_override": None,
}
MAX_POOL_ARGUMENTS = {
    "kernel_size": REQUIRED,
    "stride": None,
    "padding": 0,
    "dilation": 1,
    "ceil_mode": False,
}


def _arguments(node: fx.Node, defaults: dict[str, Any]) -> tuple[Any, ...]:
    """Return the node's input and its settings in the order of `defaults`."""
    given = dict(zip(defaults, node.args[1:], strict=False)) | dict(node.kwargs)
    return node.args[0], *(given.get(name, default) for name, default in defaults.items())
