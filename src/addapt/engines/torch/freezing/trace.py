"""From a module to a graph of its operations, by torch.fx."""

import copy
import operator
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from addapt._errors import FreezeError, OptionError
from addapt.engines.torch.freezing.held import tensors_held_by
from addapt.engines.torch.freezing.layers import FrozenAffine, FrozenConv2d
from addapt.engines.torch.freezing.sized import SizedProxy, SizedTracer, only_for
from addapt.engines.torch.ops.activation import relu, relu6, smooth, smooth_8bit
from addapt.engines.torch.ops.gated import gated, gated_8bit
from addapt.engines.torch.ops.pad import pad_edges
from addapt.engines.torch.ops.pool import adaptive_avg_pool2d, avg_pool2d, max_pool2d
from addapt.engines.torch.ops.two_slopes import hardsigmoid, hardtanh, leaky_relu, prelu

LEAN_FUNCTIONS: tuple[Callable[..., Any], ...] = (
    *(relu, relu6, leaky_relu, prelu, hardtanh, hardsigmoid),
    *(smooth, smooth_8bit, gated, gated_8bit, pad_edges),
    *(max_pool2d, avg_pool2d, adaptive_avg_pool2d, only_for),
)
IN_PLACE_OPERATORS = (
    *(operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ifloordiv),
    *(operator.imod, operator.ipow, operator.iand, operator.ior, operator.ixor),
)
TORCH = Path(torch.__file__).parent
HERE = Path(__file__).parent


class _Proxy(fx.Proxy):
    """Records `x += y` as the change in place that it is; torch.fx takes it for x = x + y."""


def _recording(change: Callable[..., Any]) -> Callable[[fx.Proxy, Any], fx.Proxy]:
    def record(self: fx.Proxy, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", change, (self, other), {})

    return record


for _change in IN_PLACE_OPERATORS:
    setattr(_Proxy, f"__{_change.__name__}__", _recording(_change))


class _Tracer(fx.Tracer):
    """Takes what a frozen network is made of as a whole, so that one can be recorded again."""

    def __init__(self) -> None:
        whole = *LEAN_FUNCTIONS, *_padding_of_timm()
        super().__init__(autowrap_functions=whole, param_shapes_constant=True)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return is_whole(m) or super().is_leaf_module(m, module_qualified_name)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Proxy(node, self)


def _padding_of_timm() -> tuple[Callable[..., Any], ...]:
    """Return timm's "SAME" padding, if timm is there: as a whole it takes maps of any size."""
    padding = sys.modules.get("timm.layers.padding")
    return () if padding is None else (padding.pad_same,)


class _SizedProxy(SizedProxy, _Proxy):
    """Records changes in place, and knows its value."""


class _SizedTracer(SizedTracer):
    """The same, knowing sizes from an example."""

    def __init__(self, example: Tensor) -> None:
        super().__init__(example, autowrap_functions=LEAN_FUNCTIONS)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return is_whole(m) or super().is_leaf_module(m, module_qualified_name)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _SizedProxy(node, self)


def is_whole(module: nn.Module) -> bool:
    """Say whether a module is a frozen layer, of which a graph does not see the inside."""
    return isinstance(module, (FrozenConv2d, FrozenAffine))


class FrozenNetwork(fx.GraphModule):
    """What `freeze` returns: a recorded network that never leaves evaluation mode."""

    def train(self, mode: bool = True) -> "FrozenNetwork":
        """Stay in evaluation mode: a frozen network has frozen statistics, and drops nothing."""
        super().train(False)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Let a file bring back this class; torch.fx itself makes a plain graph module of it."""
        return _read_frozen, super().__reduce__()


def _read_frozen(read: Callable[..., fx.GraphModule], args: tuple[Any, ...]) -> FrozenNetwork:
    graph_module = read(*args)
    return FrozenNetwork(graph_module, graph_module.graph, type(graph_module).__name__)


def trace(module: nn.Module, example: Tensor | None = None) -> FrozenNetwork:
    """Record what `module` does to its input in evaluation mode; parameters are shared, not copied.

    Args:
        module: the network.
        example: an input. Where the code decides by the sizes of maps they are known from it, and
            the graph takes no others; the number of images stays open.

    Raises:
        FreezeError: its code decides by the values of tensors, which a graph cannot, or by sizes,
            and there is no example.
    """
    tracer: fx.Tracer = _Tracer()
    if tracer.is_leaf_module(module, ""):  # a lone layer: recorded by name, not from the inside
        module = nn.Sequential(module)
    module = _apart(module)
    modes = {layer: layer.training for layer in module.modules()}
    try:
        for layer in modes:
            layer.training = False  # code like F.dropout(x, training=self.training) asks for it
        try:
            graph = tracer.trace(module)
        except Exception:
            if example is None:
                raise
            graph = _only_for(_SizedTracer(example).trace(module), tuple(example.shape[1:]))
    except OptionError:  # the example cannot be taken
        raise
    except Exception as error:  # tracing runs foreign code: anything may come out of it
        raise FreezeError(_explanation(module, error, sized=example is not None)) from error
    finally:
        for layer, mode in modes.items():
            layer.training = mode
    return FrozenNetwork(module, graph, type(module).__name__)


def _apart(module: nn.Module) -> nn.Module:
    """Copy a network but its tensors, so that code which caches what it computes caches there.

    What it computes while it is recorded is no tensor, and must not be found by the next call.
    """
    tensors = tensors_held_by(module)
    try:
        return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})
    except Exception:  # it holds what cannot be copied, whatever that is: record it itself
        return module


def _only_for(recorded: fx.Graph, sizes: tuple[int, ...]) -> fx.Graph:
    """Return a graph that refuses an input of other sizes than it was recorded for."""
    graph = fx.Graph(tracer_cls=_Tracer)  # by which a file brings it back, without an example
    graph.output(graph.graph_copy(recorded, {}))
    image = next(node for node in graph.nodes if node.op == "placeholder")
    with graph.inserting_after(image):
        graph.call_function(only_for, (image, sizes))
    return graph


def _explanation(module: nn.Module, error: Exception, *, sized: bool) -> str:
    where = "its code"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.exists() and not path.is_relative_to(TORCH) and path.parent != HERE:
            where = f'line {frame.lineno} of {path}, "{frame.line}",'
            break
    reason = str(error).split("\n", 1)[0].rstrip(".")
    by_size = "" if sized else "If it decides by the size of a map, give an `example` input. Else "
    return (
        f"{type(module).__name__} cannot be frozen as a whole: {where} cannot be recorded by "
        f"torch.fx ({reason}). {by_size}{'move' if by_size else 'Move'} that line into a function "
        "of its own at the top level of its file with the decorator @torch.fx.wrap, which is then "
        "left as it is, or freeze the parts around it one by one."
    )
