"""The attention beside one block, as nodes, forward and backward.

`addapt.engines.torch.methods.da3.AdditiveAttention` computes the same; a test holds them equal.
"""

import math
from collections.abc import Sequence

from addapt.backbones.networks import Block
from addapt.engines.onnx.adaptor import Values
from addapt.engines.onnx.graph import Graph, Map
from addapt.engines.onnx.layers import Grid, pool, pool_back
from addapt.engines.onnx.parameters import Parameter
from addapt.engines.onnx.trained import Grouped, OfMeans, Pointwise
from addapt.methods import DA3


class Attention:
    """Hidden features on a small grid, of the block's input; what is added to it and inside it.

    Args:
        name: of its parameters.
        block: beside which it stands.
        method: its hyper-parameters.
        inner: whether it also makes tiles for the block's first layer.
    """

    def __init__(self, name: str, block: Block, method: DA3, *, inner: bool) -> None:
        info = block.info
        self._method, self._stride = method, info.stride
        channels = min(info.in_channels / method.reduction, method.width)
        hidden = math.ceil(channels / method.groups) * method.groups
        self._squeeze = Pointwise(f"{name}.squeeze", info.in_channels, hidden)
        self._spatial = (
            Grouped(f"{name}.spatial", hidden, method.kernel, method.groups)
            if method.spatial
            else None
        )
        self._channel = OfMeans(f"{name}.channel", hidden) if method.channel else None
        self._out = Pointwise(f"{name}.out", hidden, info.out_channels, zero=True)
        self.inner: Pointwise | None = None
        if inner:
            outputs = block.layers[0].out_channels
            self.inner = Pointwise(f"{name}.inner", hidden, outputs, bias=False, zero=True)

    @property
    def parameters(self) -> list[Parameter]:
        """Those of its layers."""
        layers = (self._squeeze, self._spatial, self._channel, self._out, self.inner)
        return [p for layer in layers if layer is not None for p in layer.parameters]

    @property
    def grid_side(self) -> int:
        """The side of its grid, after `forward`."""
        return self._q.side

    def forward(self, g: Graph, x: Map, values: Values) -> tuple[Grid, Grid | None]:
        """Return what is added to the block's output, and the tiles of its first layer."""
        output_side = math.ceil(x.side / self._stride)
        self._square = math.ceil(output_side / self._method.grid) * self._stride
        self._input_side = x.side
        self._pooled = pool(g, x, self._square)
        self._q = self._squeeze.run(g, self._pooled, values)
        terms = []
        if self._spatial is not None:
            self._spatial_map = self._spatial.run(g, self._q, values)
            terms.append(self._spatial_map)
        if self._channel is not None:
            self._means, self._channels = self._channel.run(g, self._q, values)
            terms.append(self._channels)
        if self._method.shortcut:
            terms.append(self._q)
        self._hidden = _sum(g, terms, self._q)
        added = Grid(*self._out.run(g, self._hidden, values))
        if self.inner is None:
            return added, None
        return added, Grid(*self.inner.run(g, self._hidden, values))

    def backward(self, g: Graph, of_added: Map, of_tiles: Map | None, values: Values) -> Values:
        """Return the gradients of all parameters; that of the input is `of_input`."""
        hidden, q = self._hidden, self._q
        gradients = self._out.gradients(g, hidden, of_added)
        of_hidden = self._out.run_back(g, of_added, values)
        if self.inner is not None and of_tiles is not None:
            gradients |= self.inner.gradients(g, hidden, of_tiles)
            other = self.inner.run_back(g, of_tiles, values)
            of_hidden = of_hidden._replace(value=g.add(of_hidden.value, other.value))

        terms = []
        if self._spatial is not None:
            of_spatial = _masked(g, of_hidden, self._spatial_map)
            gradients |= self._spatial.gradients(g, q, of_spatial)
            terms.append(self._spatial.run_back(g, of_spatial, values))
        if self._channel is not None:
            sums = Map(g.total(of_hidden.value, 2, 3, keep=True), q.channels, 1)
            of_means = _masked(g, sums, self._channels)
            of_channels = g.reshape(of_means.value, 0, q.channels)
            gradients |= self._channel.gradients(g, self._means, of_channels)
            terms.append(self._channel.run_back(g, of_channels, values, q.side))
        if self._method.shortcut:
            terms.append(of_hidden)
        self._of_q = _sum(g, terms, q)
        return gradients | self._squeeze.gradients(g, self._pooled, self._of_q)

    def of_input(self, g: Graph, values: Values) -> Grid:
        """Return the gradient of the block's input, to be spread, after `backward`."""
        of_pooled = self._squeeze.run_back(g, self._of_q, values)
        return pool_back(g, of_pooled, self._input_side, self._square)


def _sum(g: Graph, terms: Sequence[Map], like: Map) -> Map:
    """Add maps up; what has one element for the whole map is there for each element of `like`."""
    value = g.add(*(term.value for term in terms))
    if max(term.side for term in terms) < like.side:  # nothing else has spread it
        value = g.op("Expand", value, g.shape(1, 1, like.side, like.side))
    return like._replace(value=value)


def _masked(g: Graph, gradient: Map, y: Map) -> Map:
    """Return the gradient before a ReLU that gave `y`, a small map."""
    return gradient._replace(value=g.op("Mul", gradient.value, g.op("Sign", y.value)))
