"""A recorded network in parts: stem, blocks and tail, each a graph of its own, and described."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, fx, nn

from addapt._errors import OptionError
from addapt.backbones import BlockInfo
from addapt.engines.torch.backbones.borders import Part, Shape, shapes_of, split
from addapt.engines.torch.freezing.patterns import (
    activation_of,
    is_parameter,
    module_of,
    name_of,
    summand_of,
)
from addapt.engines.torch.freezing.replace import smooth_name

ZERO_STAYS_ZERO = {"elu", "gelu", "gelu_tanh", "hardswish", "mish", "selu", "silu", "tanh"}


@dataclass(frozen=True)
class Cut:
    """The parts of a network.

    `paths` are those of the modules that the blocks were, `features` the length of what the tail
    gives.
    """

    stem: nn.Module
    blocks: tuple[nn.Module, ...]
    tail: nn.Module
    infos: tuple[BlockInfo, ...]
    paths: tuple[str, ...]
    features: int


def cut(
    graph_module: fx.GraphModule,
    example: Float[Tensor, "n 3 h w"],
    name: str,
    blocks: Sequence[str] | None = None,
) -> Cut:
    """Cut a network into parts; a linear layer at its end, the classifier, is left out.

    Args:
        graph_module: recorded and simplified.
        example: an input, a square; run once.
        name: of the network.
        blocks: see `borders.split`.

    Raises:
        OptionError: the network cannot be cut, or gives several results.
    """
    shapes = shapes_of(graph_module, example, name)
    last = _features_node(graph_module, shapes, name)
    nodes = list(graph_module.graph.nodes)
    image = next(node for node in nodes if node.op == "placeholder")
    units, rest = split(nodes[: nodes.index(last) + 1], shapes, blocks, name)
    sources = [image, *(unit.result for unit in units)]
    modules = [
        _module(graph_module, unit, source) for unit, source in zip(units, sources, strict=False)
    ]
    tail: nn.Module = nn.Identity()
    if rest:
        tail = _module(graph_module, Part("tail", rest), sources[-1])
    if len(shapes[last]) == 4:
        tail = nn.Sequential(tail, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    infos = tuple(
        _describe(module, unit.path, shapes[source], shapes[unit.result], name)
        for module, unit, source in zip(modules[1:], units[1:], sources[1:], strict=False)
    )
    paths = tuple(unit.path for unit in units[1:])
    return Cut(modules[0], tuple(modules[1:]), tail, infos, paths, shapes[last][1])


def _features_node(
    graph_module: fx.GraphModule, shapes: dict[fx.Node, Shape], name: str
) -> fx.Node:
    """Return the node that computes features: the last, or what a linear layer there reads."""
    output = next(node for node in graph_module.graph.nodes if node.op == "output")
    last = output.args[0]
    if not isinstance(last, fx.Node):
        raise OptionError(
            f"{name} gives several results, of which a backbone has one: give a network that "
            "returns its features, or the classes made of them."
        )
    linear = module_of(last, nn.Linear) or (last.target is F.linear and is_parameter(last.args[1]))
    source = last.args[0] if linear else None
    if isinstance(source, fx.Node) and len(shapes[source]) == 2:
        last = source
    if len(shapes.get(last, ())) not in (2, 4):
        raise OptionError(
            f"{name} gives {shapes.get(last)} of {shapes[next(iter(shapes))]}: give a network that "
            "returns features (images, features) or a map (images, channels, height, width)."
        )
    return last


def _module(graph_module: fx.GraphModule, part: Part, source: fx.Node) -> fx.GraphModule:
    """Make a module of a part, whose layers have their paths within it."""
    graph = fx.Graph()
    copies = {source: graph.placeholder("x")}
    for node in part.nodes:
        if node is source:
            continue
        for other in node.all_input_nodes:
            if other not in copies:  # a parameter that several parts read
                copies[other] = graph.node_copy(other)
        copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(copies[part.result])
    layers: dict[str, Any] = {}
    for node in graph.nodes:
        if node.op in ("call_module", "get_attr"):
            layer = attrgetter(str(node.target))(graph_module)
            node.target = str(node.target).removeprefix(f"{part.path}.")
            layers[node.target] = layer
    return fx.GraphModule(layers, graph, "Part")


def _describe(
    module: fx.GraphModule, path: str, taken: Shape, given: Shape, name: str
) -> BlockInfo:
    stride = max(1, round(taken[2] / given[2]))
    if any(math.ceil(a / stride) != b for a, b in zip(taken[2:], given[2:], strict=True)):
        raise OptionError(
            f"{name} cannot be cut around {path!r}: it makes a map of {given[2]} x {given[3]} of "
            f"one of {taken[2]} x {taken[3]}, which no stride does. Give an `example` of a size "
            "that leaves no border, often one pixel more, or other `blocks=[...]` by path."
        )
    shortcut = taken == given and _adds_its_input(module.graph)
    return BlockInfo(taken[1], given[1], stride, shortcut, _inner_layers(module.graph))


def _adds_its_input(graph: fx.Graph) -> bool:
    """Say whether a block ends with adding its input as it is, and an activation perhaps."""
    image, output = _ends(graph)
    last = output.args[0]
    if isinstance(last, fx.Node) and _is_activation(last):
        last = last.args[0]
    return (
        isinstance(last, fx.Node)
        and image in last.all_input_nodes
        and (summand_of(last, image) is not None)
    )


def _inner_layers(graph: fx.Graph) -> tuple[str, ...]:
    """Return the longest run of convolutions of which each is seen by the next alone.

    The first sees the block's input.
    """
    image, _ = _ends(graph)
    convs = [node for node in graph.nodes if module_of(node, nn.Conv2d) and _reads(node, image)]
    calls = [str(node.target) for node in graph.nodes if node.op == "call_module"]
    runs: list[list[str]] = [[]]
    for conv in convs:
        run = [str(conv.target)]
        while (following := _next_conv(conv)) is not None:
            run.append(str(following.target))
            conv = following
        if all(calls.count(name) == 1 for name in run):
            runs.append(run)
    longest = max(runs, key=len)
    return tuple(longest) if len(longest) > 1 else ()


def _reads(conv: fx.Node, image: fx.Node) -> bool:
    """Say whether a convolution reads a block's input, normalised, activated or padded perhaps."""
    node = conv.args[0]
    while isinstance(node, fx.Node) and node is not image:
        if not (module_of(node, nn.BatchNorm2d) or _is_activation(node) or _pads(node)):
            return False
        node = node.args[0]
    return node is image


def _next_conv(conv: fx.Node) -> fx.Node | None:
    """Return the convolution that alone sees the channels of this one, if there is one."""
    node = conv
    while len(node.users) == 1:
        node = next(iter(node.users))
        if module_of(node, nn.Conv2d):
            return node
        if not (module_of(node, nn.BatchNorm2d) or _is_activation(node) or _pads(node)):
            return None
    return None


def _pads(node: fx.Node) -> bool:
    """Say whether a node puts zeros around a map."""
    given = {**dict(zip(("mode", "value"), node.args[2:], strict=False)), **node.kwargs}
    zeros = given.get("mode", "constant") == "constant" and not given.get("value")
    return (node.target is F.pad and zeros) or name_of(node) == "pad_same"


def _is_activation(node: fx.Node) -> bool:
    """Say whether a node is an activation that leaves nothing where there is nothing."""
    lone = module_of(node, nn.LeakyReLU) or module_of(node, nn.PReLU)
    return bool(lone or activation_of(node) or smooth_name(node) in ZERO_STAYS_ZERO)


def _ends(graph: fx.Graph) -> tuple[fx.Node, fx.Node]:
    nodes: list[fx.Node] = list(graph.nodes)
    return next(node for node in nodes if node.op == "placeholder"), nodes[-1]
