"""Frozen layers as nodes, forward and the gradient of their inputs.

What a method adds to a map before its activation is a grid, of one element for each square of the
map. Grids go through frozen operations on their way (a convolution by one, a repetition), not for
their values but for the runtime: it computes chains of frozen convolutions in a layout of its own,
and would leave that for every sum with a value that comes from elsewhere.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from addapt.backbones.networks import ConvLayer
from addapt.engines.onnx.graph import Graph, Map

SIX = 6.0  # where ReLU6 ends
ABOVE_ZERO = np.finfo(np.float32).tiny  # the first and the last value that it passes gradients at
BELOW_SIX = np.nextafter(np.float32(SIX), np.float32(0))
END = np.iinfo(np.int64).min  # of a slice that runs backwards to the first element


class Grid(NamedTuple):
    """A value of shape (images, channels, side, side), each element for a square of a larger map.

    `square` is the side of these; by default they are as small as cover the map. `images` is 1
    where all images have the same grid.
    """

    value: str
    channels: int
    side: int
    square: int | None = None
    images: int | str = "n"


def square_side(map_side: int, grid_side: int) -> int:
    """Return the side of the squares of which a grid has one each; the last may be smaller."""
    return math.ceil(map_side / grid_side)


def padding(layer: ConvLayer, side: int) -> tuple[int, int]:
    """Return the zeros in front of a map of this side and behind it."""
    if layer.padding == "half":
        return layer.kernel // 2, layer.kernel // 2
    total = max((math.ceil(side / layer.stride) - 1) * layer.stride + layer.kernel - side, 0)
    return total // 2, total - total // 2


def output_side(layer: ConvLayer, side: int) -> int:
    """Return the side of what a layer makes of a map."""
    return (side + sum(padding(layer, side)) - layer.kernel) // layer.stride + 1


def convolve(
    g: Graph,
    layer: ConvLayer,
    x: Map,
    grids: Sequence[Grid] = (),
    residual: Map | None = None,
    activation: str | None = None,
) -> Map:
    """Compute activation(weight * x + bias + grids + residual); the activation is the layer's."""
    before, behind = padding(layer, x.side)
    y = g.op(
        "Conv",
        x.value,
        g.weight(layer),
        g.bias(layer),
        kernel_shape=[layer.kernel] * 2,
        strides=[layer.stride] * 2,
        pads=[before, before, behind, behind],
        group=layer.groups,
    )
    made = Map(y, layer.out_channels, output_side(layer, x.side))
    activation = activation or layer.activation
    if activation == "relu6" and [grid.side for grid in grids] == [1]:
        # ReLU6 after a sum is computed in the plain layout, so this need not go through another.
        made = made._replace(value=g.op("Add", y, grids[0].value))
    else:
        made = add_grids(g, made, grids)
    if residual is not None:
        made = made._replace(value=g.op("Add", made.value, residual.value))
    return activate(g, made, activation)


def activate(g: Graph, x: Map, activation: str) -> Map:
    """Compute an activation by its name."""
    if activation == "none":
        return x
    if activation == "relu":
        return x._replace(value=g.op("Relu", x.value))
    return x._replace(value=g.op("Clip", x.value, g.constant(0), g.constant(SIX)))


def mask(g: Graph, y: Map, activation: str) -> str | None:
    """Return where an activation that gave `y` passes the gradient on; None: everywhere.

    One byte an element, which is all that backward needs of a frozen layer.
    """
    if activation == "none":
        return None
    if activation == "relu":
        return g.op("Greater", y.value, g.constant(0))
    # What lies between, and only that, is as it was: quicker than two comparisons and an And.
    within = g.op("Clip", y.value, g.constant(ABOVE_ZERO), g.constant(BELOW_SIX))
    return g.op("Equal", within, y.value)


def masked(g: Graph, gradient: Map, passes: str | None) -> Map:
    """Return the gradient before an activation."""
    if passes is None:
        return gradient
    # A product, as the runtime takes one and a half times as long for a choice.
    factors = g.op("Cast", passes, to="float32")
    return gradient._replace(value=g.op("Mul", gradient.value, factors))


def convolve_back(g: Graph, layer: ConvLayer, gradient: Map, side: int) -> Map:
    """Return the gradient of a layer's input, of this side, of the gradient before activation."""
    before, behind = padding(layer, side)
    weight, k = g.weight(layer), layer.kernel
    if layer.stride == 1 or layer.groups > 1:
        if k > 1:
            backwards = [g.shape(-1, -1), g.shape(END, END), g.shape(2, 3), g.shape(-1, -1)]
            weight = g.once("Slice", weight, *backwards)
        if layer.groups == 1:
            weight = g.once("Transpose", weight, perm=[1, 0, 2, 3])
        if layer.stride > 1:
            gradient = spread_apart(g, gradient, layer.stride, side)
        near, far = k - 1 - before, before
        value = g.op(
            "Conv",
            gradient.value,
            weight,
            kernel_shape=[k, k],
            pads=[near, near, far, far],
            group=layer.groups,
        )
    else:
        covered = (gradient.side - 1) * layer.stride + k - before - behind
        value = g.op(
            "ConvTranspose",
            gradient.value,
            weight,
            kernel_shape=[k, k],
            strides=[layer.stride] * 2,
            pads=[before, before, behind, behind],
            output_padding=[side - covered] * 2,
            group=layer.groups,
        )
    return Map(g.shaped(value, "n", layer.in_channels, side, side), layer.in_channels, side)


def spread_apart(g: Graph, x: Map, stride: int, side: int) -> Map:
    """Put zeros between elements, so that each is the first of its square.

    Then a convolution does what a transposed one would, for which the runtime takes ten times as
    long where it is depthwise.
    """
    everywhere = spread_grid(g, Grid(x.value, x.channels, x.side, stride), side)
    firsts = np.zeros((1, 1, side, side))
    firsts[:, :, ::stride, ::stride] = 1
    return x._replace(value=g.op("Mul", everywhere, g.constant(firsts)), side=side)


def add_grids(g: Graph, y: Map, grids: Sequence[Grid]) -> Map:
    """Add grids of at most two sizes, one of them 1, each spread over its squares of the map."""
    if not grids:
        return y
    finest = max(grids, key=lambda grid: (grid.side, grid.images == "n"))
    value = g.add(*(grid.value for grid in grids))
    spread = spread_grid(g, finest._replace(value=value), y.side)
    return y._replace(value=g.op("Add", y.value, spread))


def spread_grid(g: Graph, grid: Grid, side: int) -> str:
    """Repeat each element of a grid over its square of a map of this side."""
    square = grid.square or square_side(side, grid.side)
    value = _through_convolution(g, grid.value, grid.channels, 1)
    if square > 1:
        value = g.op(
            "Resize",
            value,
            "",
            g.constant([1, 1, square, square]),
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
    too_much = square * grid.side - side
    if too_much:  # the last squares are smaller
        value = _through_convolution(g, value, grid.channels, 1 + too_much)
    return g.shaped(value, grid.images, grid.channels, side, side)


def _through_convolution(g: Graph, value: str, channels: int, kernel: int) -> str:
    """Return a map as it is, without the last kernel - 1 rows and columns."""
    weight = np.zeros((channels, 1, kernel, kernel), np.float32)
    weight[:, :, 0, 0] = 1
    return g.op("Conv", value, g.constant(weight), kernel_shape=[kernel, kernel], group=channels)


def pool(g: Graph, x: Map, square: int) -> Map:
    """Return the means over squares, smaller ones at the far edges."""
    side = math.ceil(x.side / square)
    if square == 1:
        return x
    value = g.op(
        "AveragePool",
        x.value,
        kernel_shape=[square, square],
        strides=[square, square],
        ceil_mode=int(side * square > x.side),
    )
    return Map(value, x.channels, side)


def sum_squares(g: Graph, x: Map, grid_side: int) -> Map:
    """Return the sums over squares: the gradient of a grid that was spread over `x`."""
    square = square_side(x.side, grid_side)
    if square == 1:
        return x
    side = math.ceil(x.side / square)
    too_much = side * square - x.side
    value = g.op(
        "Conv",
        x.value,
        g.constant(np.ones((x.channels, 1, square, square))),
        kernel_shape=[square, square],
        strides=[square, square],
        pads=[0, 0, too_much, too_much],
        group=x.channels,
    )
    return Map(value, x.channels, side)


def pool_back(g: Graph, gradient: Map, side: int, square: int) -> Grid:
    """Return what is to be spread: the gradient of the map, of this side, that was pooled."""
    value = gradient.value
    if square > 1:
        value = g.op("Div", value, _areas(g, side, square))
    return Grid(value, gradient.channels, gradient.side, square)


def _areas(g: Graph, side: int, square: int) -> str:
    """Return the elements of each square: a number where all have as many."""
    count = math.ceil(side / square)
    if count * square == side:
        return g.constant(square * square)
    sides = np.full(count, square)
    sides[-1] = side - (count - 1) * square
    return g.constant(np.outer(sides, sides)[None, None])
