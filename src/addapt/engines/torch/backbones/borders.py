"""Where a recorded network can be cut: at places where one map is all that is alive."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, fx, nn

from addapt._errors import OptionError
from addapt.engines.torch.freezing.patterns import (
    CALLS,
    called_module,
    factors_of,
    is_parameter,
    module_of,
    name_of,
    path_of,
    summand_of,
)
from addapt.engines.torch.freezing.sized import unfit_example

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Part:
    """Consecutive nodes of a graph that read one map and end in one, and whose module they are."""

    path: str
    nodes: tuple[fx.Node, ...]

    @property
    def result(self) -> fx.Node:
        """The map that goes on."""
        return self.nodes[-1]


class _Shapes(fx.Interpreter):
    """Runs a graph once and notes the shape of each tensor."""

    def __init__(self, graph_module: fx.GraphModule) -> None:
        super().__init__(graph_module)
        self.extra_traceback = False  # errors are sentences
        self.noted: dict[fx.Node, Shape] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, Tensor):
            self.noted[n] = tuple(result.shape)
        return result


@torch.no_grad()
def shapes_of(graph_module: fx.GraphModule, example: Tensor, name: str) -> dict[fx.Node, Shape]:
    """Return the shape of what each node computes of an example.

    Raises:
        OptionError: the network called `name` cannot take it.
    """
    shapes = _Shapes(graph_module)
    try:
        shapes.run(example.clone())
    except (RuntimeError, ValueError, TypeError) as error:
        raise unfit_example(name, example, error) from error
    return shapes.noted


def split(
    nodes: Sequence[fx.Node], shapes: dict[fx.Node, Shape], blocks: Sequence[str] | None, name: str
) -> tuple[list[Part], tuple[fx.Node, ...]]:
    """Split a network's nodes into stem and blocks, and what comes after them.

    Args:
        nodes: in order, from the image on.
        shapes: of what they compute.
        blocks: paths of the modules that are to be the blocks; by default those with a sum or,
            without any, a concatenation or product inside, and others whose paths look like theirs.
        name: of the network.

    Raises:
        OptionError: there is nowhere to cut, or not where `blocks` says.
    """
    smallest = list(_smallest_parts(nodes, shapes))
    if not smallest:
        raise OptionError(
            f"{name} cannot be cut into blocks: there is no place where one map (images, channels, "
            "height, width) is all that goes on. Give a convolutional network, or make an "
            "addapt.Backbone of parts of your own."
        )
    paths = _given(smallest, blocks, name) if blocks else _found(smallest)
    if not any(paths):
        units = _by_convolution(smallest)
    else:
        units = list(_by_path(smallest, paths))
    if len(units) < 2:
        raise OptionError(
            f"{name} cannot be cut into stem and blocks: all of it is one block, "
            f"{units[0].path!r}. Name the blocks in Python, by paths of modules inside it: "
            "addapt.Backbone.of(network, blocks=[...])."
        )
    rest = nodes[nodes.index(units[-1].result) + 1 :]
    return units, tuple(rest)


def _smallest_parts(nodes: Sequence[fx.Node], shapes: dict[fx.Node, Shape]) -> Iterator[Part]:
    """Yield what stands between two borders; a border is a map that alone is used later."""
    place = {node: i for i, node in enumerate(nodes)}
    last_use = {
        node: max((place[user] for user in node.users if user in place), default=-1)
        for node in nodes
    }
    last_use[nodes[-1]] = len(nodes)  # the features
    alive: set[fx.Node] = set()
    part: list[fx.Node] = []
    for i, node in enumerate(nodes):
        alive = {other for other in alive if last_use[other] > i}
        if not is_parameter(node) and last_use[node] > i:
            alive.add(node)
        part.append(node)
        if alive == {node} and "adaptive" in name_of(node).lower():
            return  # what comes after the pooling of whatever size is no block
        if alive == {node} and node.op in CALLS and _is_map(shapes.get(node)):
            yield Part(_common(map(_path, _computing(part))), tuple(part))
            part = []


def _is_map(shape: Shape | None) -> bool:
    """Say whether a shape is that of a map with channels second; the image is a square."""
    return shape is not None and len(shape) == 4 and shape[2] == shape[3]


def _computing(nodes: Iterable[fx.Node]) -> list[fx.Node]:
    return [node for node in nodes if node.op in CALLS and node.users]


def _path(node: fx.Node) -> str:
    return str(node.target) if node.op == "call_module" else path_of(node)


def _common(paths: Iterable[str]) -> str:
    """Return the path of the module in which all of these are."""
    first, *others = [path.split(".") for path in paths]
    length = len(first)
    for other in others:
        same = (a == b for a, b in zip(first, other, strict=False))
        length = min(length, next((i for i, equal in enumerate(same) if not equal), len(other)))
    return ".".join(first[:length])


def _found(parts: Sequence[Part]) -> list[str]:
    """Return for each part the path of the block that it belongs to, or nothing."""
    sums = [part.path for part in parts if any(map(_adds, part.nodes))]
    joins = [part.path for part in parts if any(map(_concatenates, part.nodes))]
    # A gate is a module within a block.
    gates = [part.path.rpartition(".")[0] for part in parts if any(map(_gates, part.nodes))]
    alike = {_pattern(path) for path in sums or joins or gates if path}
    return [_ancestor(part.path, alike) for part in parts]


def _adds(node: fx.Node) -> bool:
    inputs = [source for source in node.all_input_nodes if not is_parameter(source)]
    return len(inputs) == 2 and summand_of(node, inputs[0]) is not None


def _concatenates(node: fx.Node) -> bool:
    return node.target is torch.cat


def _gates(node: fx.Node) -> bool:
    return factors_of(node) is not None


def _pattern(path: str) -> str:
    return re.sub(r"\d+", "#", path)


def _ancestor(path: str, alike: set[str]) -> str:
    """Return the outermost module around a path that looks like a block."""
    names = path.split(".")
    around = (".".join(names[: i + 1]) for i in range(len(names)))
    return next((module for module in around if _pattern(module) in alike), "")


def _given(parts: Sequence[Part], blocks: Sequence[str], name: str) -> list[str]:
    paths = [
        next((b for b in blocks if part.path == b or part.path.startswith(f"{b}.")), "")
        for part in parts
    ]
    if missing := [block for block in blocks if block not in paths]:
        borders = dict.fromkeys(part.path for part in parts if part.path)
        raise OptionError(
            f"{name} cannot be cut around {missing[0]!r}: no such module is there, or more than "
            f"one map goes into it or out of it. Give `blocks` of: {', '.join(borders)}."
        )
    return paths


def _by_path(parts: Sequence[Part], paths: Sequence[str]) -> Iterator[Part]:
    """Join parts of the same block; the first is the stem.

    What stands between two blocks is a block of its own. What has no weights, or those of a norm
    alone, belongs to the part before. What comes after the last block belongs to the tail, and is
    left out, and so is a last block of a single convolution, which makes features.
    """
    groups = [
        (path, [part for part, _ in group])
        for path, group in groupby(zip(parts, paths, strict=True), key=lambda pair: pair[1])
    ]
    if not groups[-1][0]:
        groups.pop()
    joined: list[Part] = []
    for path, group in groups:
        whole = _joined(group, path or _common(part.path for part in group))
        if joined and not _has_weights(whole):
            joined[-1] = _joined([joined[-1], whole], joined[-1].path)
        else:
            joined.append(whole)
    while len(joined) > 2 and _is_single(joined[-1]):
        joined.pop()
    yield from joined


def _is_single(part: Part) -> bool:
    """Say whether a part is one convolution, with nothing beside it."""
    beside = (_adds(n) or _concatenates(n) or _gates(n) for n in part.nodes)
    return _convolutions(part) < 2 and not any(beside)


def _convolutions(part: Part) -> int:
    return sum(module_of(node, nn.Conv2d) is not None for node in part.nodes)


def _by_convolution(parts: Sequence[Part]) -> list[Part]:
    """Let each convolution begin a block, in a network without shortcuts."""
    joined: list[Part] = []
    for part in parts:
        if _convolutions(part) or not joined:
            joined.append(part)
        else:
            joined[-1] = _joined([joined[-1], part], joined[-1].path)
    return joined


def _joined(parts: Sequence[Part], path: str) -> Part:
    return Part(path, tuple(node for part in parts for node in part.nodes))


def _has_weights(part: Part) -> bool:
    """Say whether a part has more than scales and shifts, as those of a norm."""
    return any(
        node.op == "call_module" and any(p.ndim > 1 for p in called_module(node).parameters())
        for node in part.nodes
    )
