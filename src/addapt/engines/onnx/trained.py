"""Small trained layers as nodes: they work on grids, which are kept as they are for backward."""

from typing import NamedTuple

from addapt.engines.onnx.adaptor import Values
from addapt.engines.onnx.graph import Graph, Map
from addapt.engines.onnx.parameters import Parameter, layer_parameters


class Pointwise(NamedTuple):
    """A 1 x 1 convolution."""

    name: str
    inputs: int
    outputs: int
    bias: bool = True
    zero: bool = False  # at first

    @property
    def parameters(self) -> list[Parameter]:
        """Its weight and bias."""
        shape = (self.outputs, self.inputs, 1, 1)
        return layer_parameters(self.name, shape, bias=self.bias, zero=self.zero)

    def run(self, g: Graph, x: Map, values: Values) -> Map:
        """Compute weight * x + bias."""
        names = [f"{self.name}.weight", *([f"{self.name}.bias"] if self.bias else [])]
        value = g.op("Conv", x.value, *(values[name] for name in names), kernel_shape=[1, 1])
        return Map(value, self.outputs, x.side)

    def gradients(self, g: Graph, x: Map, gradient: Map) -> Values:
        """Return those of weight and bias."""
        columns = g.once("Transpose", _rows(g, x), perm=[0, 2, 1])
        of_each = g.op("MatMul", _rows(g, gradient), columns)
        found = {f"{self.name}.weight": g.sum_images(of_each)}
        if self.bias:
            found[f"{self.name}.bias"] = g.total(gradient.value, 0, 2, 3)
        return found

    def run_back(self, g: Graph, gradient: Map, values: Values) -> Map:
        """Return the gradient of x."""
        weight = g.op("Transpose", values[f"{self.name}.weight"], perm=[1, 0, 2, 3])
        value = g.op("Conv", gradient.value, weight, kernel_shape=[1, 1])
        return Map(value, self.inputs, gradient.side)


def _rows(g: Graph, x: Map) -> str:
    """Return a map as (n, channels, elements)."""
    return g.once("Reshape", x.value, g.shape(0, x.channels, -1))


class Grouped(NamedTuple):
    """relu(k x k convolution in groups), of as many channels as it takes."""

    name: str
    channels: int
    kernel: int
    groups: int

    @property
    def parameters(self) -> list[Parameter]:
        """Its weight and bias."""
        k = self.kernel
        return layer_parameters(self.name, (self.channels, self.channels // self.groups, k, k))

    def run(self, g: Graph, x: Map, values: Values) -> Map:
        """Compute relu(weight * x + bias)."""
        weight, bias = values[f"{self.name}.weight"], values[f"{self.name}.bias"]
        y = g.op("Conv", x.value, weight, bias, **self._geometry)
        return x._replace(value=g.op("Relu", y))

    def gradients(self, g: Graph, x: Map, gradient: Map) -> Values:
        """Return those of weight and bias, of the gradient before the activation.

        The weight's is a convolution of x with the gradient, the batch in the place of channels.
        """
        inner = self.channels // self.groups
        images = g.reshape(x.value, 0, self.groups, inner, x.side, x.side)
        images = g.op("Transpose", images, perm=[2, 1, 0, 3, 4])
        images = g.reshape(images, inner, -1, x.side, x.side)
        kernels = g.op("Transpose", gradient.value, perm=[1, 0, 2, 3])
        geometry = {**self._geometry, "kernel_shape": [x.side] * 2}
        weight = g.op("Transpose", g.op("Conv", images, kernels, **geometry), perm=[1, 0, 2, 3])
        return {
            f"{self.name}.weight": g.reshape(weight, -1),
            f"{self.name}.bias": g.total(gradient.value, 0, 2, 3),
        }

    def run_back(self, g: Graph, gradient: Map, values: Values) -> Map:
        """Return the gradient of x."""
        weight = values[f"{self.name}.weight"]
        value = g.op("ConvTranspose", gradient.value, weight, **self._geometry)
        return gradient._replace(value=value)

    @property
    def _geometry(self) -> dict[str, int | list[int]]:
        near = self.kernel // 2
        return {"kernel_shape": [self.kernel] * 2, "pads": [near] * 4, "group": self.groups}


class OfMeans(NamedTuple):
    """relu(a linear layer of a map's means), as many channels as it takes."""

    name: str
    channels: int

    @property
    def parameters(self) -> list[Parameter]:
        """Its weight and bias."""
        return layer_parameters(self.name, (self.channels, self.channels))

    def run(self, g: Graph, x: Map, values: Values) -> tuple[str, Map]:
        """Return the means (n, channels), and what is made of them, a map of side 1."""
        means = g.op("ReduceMean", x.value, g.shape(2, 3), keepdims=0)
        weight, bias = values[f"{self.name}.weight"], values[f"{self.name}.bias"]
        y = g.op("Relu", g.op("Gemm", means, weight, bias, transB=1))
        return means, Map(g.reshape(y, 0, self.channels, 1, 1), self.channels, 1)

    def gradients(self, g: Graph, means: str, gradient: str) -> Values:
        """Return those of weight and bias, of the gradient (n, channels) before the activation."""
        return {
            f"{self.name}.weight": g.reshape(g.op("Gemm", gradient, means, transA=1), -1),
            f"{self.name}.bias": g.total(gradient, 0),
        }

    def run_back(self, g: Graph, gradient: str, values: Values, side: int) -> Map:
        """Return the gradient of each element of x, a map of side 1, as all have the same."""
        of_means = g.op("MatMul", gradient, values[f"{self.name}.weight"])
        shares = g.op("Mul", of_means, g.constant(1 / side**2))
        return Map(g.reshape(shares, 0, self.channels, 1, 1), self.channels, 1)
