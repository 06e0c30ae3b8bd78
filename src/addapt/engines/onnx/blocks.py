"""Frozen blocks as nodes, with what a method adds in them; forward and backward."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from addapt.backbones.networks import Block, ConvLayer
from addapt.engines.onnx.graph import Graph, Map
from addapt.engines.onnx.layers import Grid, activate, convolve, convolve_back, mask, masked

Grids = Mapping[str, Sequence[Grid]]  # by the name of the layer before whose activation they go


@dataclass(frozen=True)
class KeptBlock:
    """What backward needs of a block's forward: sides of maps, and where gradients pass."""

    block: Block
    sides: dict[str, int]  # of each layer's input
    passes: dict[str, str | None]  # by layer; the block's own is that of its last layer


def summed_layers(block: Block) -> tuple[ConvLayer, ...]:
    """Return the layers whose outputs are added up: their gradients are the same."""
    last = block.layers[-1]
    return (last,) if block.shortcut is None else (last, block.shortcut)


def run_block(g: Graph, block: Block, x: Map, grids: Grids, *, keep: bool) -> tuple[Map, KeptBlock]:
    """Compute a block; `keep` what backward needs."""
    *inner, last = block.layers
    sides: dict[str, int] = {}
    passes: dict[str, str | None] = {}
    y = x
    for layer in inner:
        sides[layer.name] = y.side
        y = convolve(g, layer, y, grids.get(layer.name, ()))
        passes[layer.name] = mask(g, y, layer.activation) if keep else None
    sides[last.name] = y.side
    residual = x if block.info.identity_shortcut else None
    if block.shortcut is not None:
        sides[block.shortcut.name] = x.side
        residual = convolve(g, block.shortcut, x)
    added = [grid for layer in summed_layers(block) for grid in grids.get(layer.name, ())]
    y = convolve(g, last, y, added, residual)
    y = activate(g, y, block.activation)
    passes[last.name] = mask(g, y, block.activation) if keep else None
    return y, KeptBlock(block, sides, passes)


def run_block_back(
    g: Graph, kept: KeptBlock, gradient: Map, *, to_input: bool = True
) -> tuple[Map | None, dict[str, Map]]:
    """Return the gradient of a block's input and, by layer, those before the activations.

    Without `to_input` the former is left out, and None.
    """
    block = kept.block
    gradient = masked(g, gradient, kept.passes[block.layers[-1].name])
    before = {layer.name: gradient for layer in summed_layers(block)}
    y = gradient
    for following, layer in zip(block.layers[:0:-1], block.layers[-2::-1], strict=True):
        y = convolve_back(g, following, y, kept.sides[following.name])
        y = before[layer.name] = masked(g, y, kept.passes[layer.name])
    if not to_input:
        return None, before
    first = block.layers[0]
    x = convolve_back(g, first, y, kept.sides[first.name])
    if block.shortcut is not None:
        side = kept.sides[block.shortcut.name]
        other = convolve_back(g, block.shortcut, gradient, side)
        x = x._replace(value=g.op("Add", x.value, other.value))
    elif block.info.identity_shortcut:
        x = x._replace(value=g.op("Add", x.value, gradient.value))
    return x, before
