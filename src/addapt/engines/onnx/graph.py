"""A graph of standard ONNX operators, written node by node; values are known by their names.

Nothing of ONNX itself is needed here: `addapt.engines.onnx.writing` makes a file of it.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from addapt.backbones.networks import ConvLayer
from addapt.engines.onnx.frozen import FrozenWeights, StoredWeight

IMAGES = "images"  # the input of which all maps are made


class Map(NamedTuple):
    """A value of shape (n, channels, side, side)."""

    value: str
    channels: int
    side: int


class Node(NamedTuple):
    """An operator, the names of what it takes and gives, and its attributes."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]


class Port(NamedTuple):
    """An input or output of the graph; a side of its shape that is a word may be any."""

    name: str
    dtype: type[np.generic]
    shape: tuple[int | str, ...]


class Graph:
    """Collects nodes, constants, inputs and outputs.

    Args:
        frozen: the weights of the network that the graph computes.
    """

    def __init__(self, frozen: FrozenWeights) -> None:
        self.frozen = frozen
        self.nodes: list[Node] = []
        self.constants: dict[str, npt.NDArray[Any] | StoredWeight] = {}
        self.inputs: list[Port] = []
        self.outputs: list[Port] = []
        self.shapes: dict[str, tuple[int | str, ...]] = {}  # that the runtime cannot find out
        self._known: dict[Any, str] = {}  # constants and nodes that are wanted again

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output; return that."""
        return self.ops(kind, *inputs, outputs=1, **attributes)[0]

    def ops(self, kind: str, *inputs: str, outputs: int, **attributes: Any) -> tuple[str, ...]:
        """Add a node with several outputs; return these."""
        names = tuple(f"{kind}_{len(self.nodes)}_{place}" for place in range(outputs))
        self.nodes.append(Node(kind, inputs, names, attributes))
        return names

    def once(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Do the same as `op` unless that very node is there already."""
        key = (kind, inputs, repr(sorted(attributes.items())))
        if key not in self._known:
            self._known[key] = self.op(kind, *inputs, **attributes)
        return self._known[key]

    def constant(self, values: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> str:
        """Return a small constant; equal ones are kept once."""
        array = np.asarray(values, dtype)
        key = (str(array.dtype), array.shape, array.tobytes())
        if key not in self._known:
            self._known[key] = name = f"constant_{len(self.constants)}"
            self.constants[name] = array
        return self._known[key]

    def shape(self, *sides: int) -> str:
        """Return a constant shape, or axes; in a shape 0 is as it was, -1 the rest."""
        return self.constant(sides, np.int64)

    def weight(self, layer: ConvLayer) -> str:
        """Return a layer's frozen weight (out, in / groups, k, k)."""
        return self._stored(f"{layer.name}.weight")

    def bias(self, layer: ConvLayer) -> str:
        """Return a layer's frozen bias (out,)."""
        return self._stored(f"{layer.name}.bias")

    def _stored(self, name: str) -> str:
        self.constants[name] = self.frozen.places[name]
        return name

    def input(self, name: str, *shape: int | str, dtype: type[np.generic] = np.float32) -> str:
        """Add an input."""
        self.inputs.append(Port(name, dtype, shape))
        return name

    def output(self, name: str, value: str, *shape: int | str) -> None:
        """Give a value out under a name."""
        self.nodes.append(Node("Identity", (value,), (name,), {}))
        self.outputs.append(Port(name, np.float32, shape))

    def shaped(self, value: str, *shape: int | str) -> str:
        """Say what shape a value has; return it."""
        self.shapes[value] = shape
        return value

    def reshape(self, value: str, *sides: int) -> str:
        """Give a value another shape."""
        return self.op("Reshape", value, self.shape(*sides))

    def sum_images(self, value: str) -> str:
        """Sum an array for each image over these, and make it a vector.

        A product with ones, as the runtime takes long for a sum over a single image.
        """
        images = self.once("Shape", IMAGES, start=0, end=1)
        ones = self.once("Expand", self.constant([1]), images)
        return self.op("MatMul", ones, self.reshape(value, 0, -1))

    def total(self, value: str, *axes: int, keep: bool = False) -> str:
        """Sum over axes."""
        return self.once("ReduceSum", value, self.shape(*axes), keepdims=int(keep))

    def add(self, *values: str) -> str:
        """Add one or more values up."""
        first, *others = values
        for other in others:
            first = self.op("Add", first, other)
        return first
