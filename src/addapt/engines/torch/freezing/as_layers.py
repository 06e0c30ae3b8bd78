"""Functions that are given parameters become layers, as networks mostly have them."""

from operator import attrgetter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from addapt.engines.torch.freezing.patterns import (
    changes_its_input,
    is_parameter,
    module_of,
    path_of,
)

CONV = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
BATCH_NORM = (
    *("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps"),
)


def make_layers(graph_module: fx.GraphModule) -> None:
    """Turn functions that are given parameters into layers, and a PReLU into its function."""
    for node in list(graph_module.graph.nodes):
        if node.op == "call_function" and node.target is F.batch_norm:
            layer: nn.Module | None = _batch_norm(graph_module, node)
        elif node.op == "call_function" and node.target is F.conv2d:
            layer = _convolution(graph_module, node)
        elif module_of(node, nn.PReLU):
            _call_prelu(node)
            continue
        else:
            continue
        if layer is not None:
            _put_layer(graph_module, node, layer.eval())
    for name, _ in list(graph_module.named_buffers(recurse=False)):
        if not any(node.target == name for node in graph_module.graph.nodes):
            delattr(graph_module, name)


def _convolution(graph_module: fx.GraphModule, node: fx.Node) -> nn.Conv2d | None:
    """Return the layer that does what a call of `F.conv2d` does, if its weight is a parameter."""
    given: dict[str, Any] = dict(zip(CONV, node.args, strict=False)) | node.kwargs
    tensors = _tensors(graph_module, given, ("weight", "bias"))
    settings = [
        given.get(name, default) for name, default in zip(CONV[3:], (1, 0, 1, 1), strict=True)
    ]
    if tensors is None or tensors["weight"] is None or _has_nodes(settings):
        return None
    weight, bias = tensors["weight"], tensors["bias"]
    stride, padding, dilation, groups = settings
    with torch.device("meta"):
        conv = nn.Conv2d(
            weight.shape[1] * groups,
            weight.shape[0],
            (weight.shape[2], weight.shape[3]),
            stride=_pair(stride),
            padding=padding if isinstance(padding, str) else _pair(padding),
            dilation=_pair(dilation),
            groups=groups,
            bias=bias is not None,
        )
    conv.weight = _parameter(weight)
    if bias is not None:
        conv.bias = _parameter(bias)
    return conv


def _batch_norm(graph_module: fx.GraphModule, node: fx.Node) -> nn.BatchNorm2d | None:
    """Return the layer that does what a call of `F.batch_norm` does, if it is a frozen one."""
    given: dict[str, Any] = dict(zip(BATCH_NORM, node.args, strict=False)) | node.kwargs
    tensors = _tensors(graph_module, given, BATCH_NORM[1:5])
    training, eps = given.get("training", False), given.get("eps", 1e-5)
    momentum = given.get("momentum", 0.1)
    if tensors is None or _has_nodes((training, eps, momentum)) or training:
        return None
    mean, variance = tensors["running_mean"], tensors["running_var"]
    if mean is None or variance is None:
        return None
    bn = nn.BatchNorm2d(len(mean), eps, momentum, affine=False, device=mean.device)
    bn.running_mean, bn.running_var = mean, variance
    for name in ("weight", "bias"):
        if (tensor := tensors[name]) is not None:
            setattr(bn, name, _parameter(tensor))
    return bn


def _tensors(
    graph_module: fx.GraphModule, given: dict[str, Any], names: tuple[str, ...]
) -> dict[str, Tensor | None] | None:
    """Return parameters among a function's arguments by name; None if one is something else."""
    tensors: dict[str, Tensor | None] = {}
    for name in names:
        argument = given.get(name)
        if argument is not None and not is_parameter(argument):
            return None
        tensors[name] = None if argument is None else attrgetter(str(argument.target))(graph_module)
    return tensors


def _has_nodes(settings: Any) -> bool:
    found: list[fx.Node] = []
    fx.node.map_arg(settings, lambda node: found.append(node))
    return bool(found)


def _parameter(tensor: Tensor) -> nn.Parameter:
    return tensor if isinstance(tensor, nn.Parameter) else nn.Parameter(tensor, requires_grad=False)


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    return value[0], value[-1]


def _put_layer(graph_module: fx.GraphModule, node: fx.Node, layer: nn.Module) -> None:
    """Call a layer in the place of a function, by the path of the module that called it."""
    source, owner = node.args[0] if node.args else node.kwargs["input"], path_of(node)
    own_parameters = {n for n in node.all_input_nodes if is_parameter(n)}
    asked = (
        str(other.target)
        for other in graph_module.graph.nodes
        if other.op == "call_module" or (other.op == "get_attr" and other not in own_parameters)
    )
    if not owner or any(path == owner or path.startswith(f"{owner}.") for path in asked):
        owner = free_name(graph_module, f"{owner}.{node.name}" if owner else node.name)
    graph_module.add_submodule(owner, layer)
    with graph_module.graph.inserting_before(node):
        call = graph_module.graph.call_module(owner, (source,))
    call.meta = dict(node.meta)
    node.replace_all_uses_with(call)
    erase_unused(node)


def _call_prelu(node: fx.Node) -> None:
    """Call the function with the layer's slopes, so that they can be handed on."""
    with node.graph.inserting_before(node):
        slopes = node.graph.get_attr(f"{node.target}.weight")
        call = node.graph.call_function(torch.prelu, (node.args[0], slopes))
    call.meta = dict(node.meta)
    node.replace_all_uses_with(call)
    node.graph.erase_node(node)


def free_name(graph_module: fx.GraphModule, wanted: str) -> str:
    """Return a path that nothing in the network has yet."""
    taken = dict(graph_module.named_modules()) | dict(graph_module.named_buffers())
    name, count = wanted, 0
    while name in taken or hasattr(graph_module, name):
        count += 1
        name = f"{wanted}_{count}"
    return name


def erase_unused(node: fx.Node) -> None:
    """Erase a node that nobody uses, and those that were only there for it."""
    if node.users or node.op == "placeholder" or changes_its_input(node):
        return
    inputs = node.all_input_nodes
    node.graph.erase_node(node)
    for source in inputs:
        erase_unused(source)
