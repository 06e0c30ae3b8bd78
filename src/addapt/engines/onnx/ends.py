"""The two ends of a frozen network as nodes: from images to the first block, from the last on."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from addapt.backbones.networks import Network
from addapt.engines.onnx.graph import Graph, Map
from addapt.engines.onnx.layers import (
    Grid,
    convolve,
    convolve_back,
    mask,
    masked,
    spread_grid,
)

POOLING = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}


def normalised(g: Graph, network: Network, images: str, side: int) -> Map:
    """Map images (n, side, side, 3) of values 0..255 to (x / 255 - mean) / std, channels first."""
    # Bytes are made numbers first: some runtimes do nothing else with them.
    x = g.op("Transpose", g.op("Cast", images, to="float32"), perm=[0, 3, 1, 2])
    x = g.op("Div", x, g.constant(255))
    for kind, values in (("Sub", network.info.input.mean), ("Div", network.info.input.std)):
        x = g.op(kind, x, g.constant(np.reshape(values, (1, 3, 1, 1))))
    return Map(x, 3, side)


class KeptStem(NamedTuple):
    """What backward needs of the stem: its map's side, where it passes gradients, its maxima."""

    channels: int
    side: int
    passes: str | None
    maxima: str | None
    flat_shape: str | None


def run_stem(g: Graph, network: Network, image: Map, grids: Sequence[Grid] = ()) -> Map:
    """Compute the first block's input."""
    y = convolve(g, network.stem, image, grids)
    if not network.stem_pool:
        return y
    return Map(g.op("MaxPool", y.value, **POOLING), y.channels, (y.side + 1) // 2)


def run_stem_to_learn(
    g: Graph, network: Network, image: Map, grids: Sequence[Grid]
) -> tuple[Map, KeptStem]:
    """Compute the same and keep what backward needs."""
    y = convolve(g, network.stem, image, grids)
    passes = mask(g, y, network.stem.activation)
    if not network.stem_pool:
        return y, KeptStem(y.channels, y.side, passes, None, None)
    pooled, maxima = g.ops("MaxPool", y.value, outputs=2, **POOLING)
    flat_shape = g.op("Shape", g.reshape(y.value, -1))
    kept = KeptStem(y.channels, y.side, passes, maxima, flat_shape)
    return Map(pooled, y.channels, (y.side + 1) // 2), kept


def run_stem_back(g: Graph, kept: KeptStem, gradient: Map) -> Map:
    """Return the gradient before the stem's activation."""
    value = gradient.value
    if kept.maxima is not None and kept.flat_shape is not None:
        # Each maximum's place is one in the whole batch; a place may be the maximum of several.
        places, nothing = g.reshape(kept.maxima, -1), g.op("ConstantOfShape", kept.flat_shape)
        value = g.op(
            "ScatterElements", nothing, places, g.reshape(value, -1), axis=0, reduction="add"
        )
        value = g.reshape(value, -1, kept.channels, kept.side, kept.side)
    return masked(g, Map(value, kept.channels, kept.side), kept.passes)


def run_tail(g: Graph, network: Network, x: Map, grids: Sequence[Grid] = ()) -> tuple[str, Map]:
    """Compute features (n, features), and the map that they are the means of."""
    y = x if network.tail is None else convolve(g, network.tail, x, grids)
    return g.reshape(g.op("GlobalAveragePool", y.value), 0, y.channels), y


def run_tail_back(
    g: Graph, network: Network, features_map: Map, passes: str | None, gradient: str
) -> tuple[Map, Map | None]:
    """Return the gradients of the tail's input and, if it has a layer, before its activation."""
    channels, side = features_map.channels, features_map.side
    shares = g.op("Mul", gradient, g.constant(1 / side**2))
    grid = Grid(g.reshape(shares, 0, channels, 1, 1), channels, 1)
    if network.tail is None:
        return Map(spread_grid(g, grid, side), channels, side), None
    before = masked(g, Map(grid.value, channels, side), passes)
    return convolve_back(g, network.tail, before, side), before
