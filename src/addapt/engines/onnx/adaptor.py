"""What a method is to this engine: trained arrays, and nodes that compute with them."""

from abc import ABC, abstractmethod

from addapt.backbones.networks import ConvLayer, Network
from addapt.engines.onnx.graph import Graph, Map
from addapt.engines.onnx.layers import Grid
from addapt.engines.onnx.parameters import Parameter

Values = dict[str, str]  # of parameters, or of their gradients, by the parameters' names


class Adaptor(ABC):
    """A method, spelt out for a network; it writes one graph.

    Args:
        network: the frozen one.
    """

    def __init__(self, network: Network) -> None:
        self.network = network

    @property
    @abstractmethod
    def parameters(self) -> tuple[Parameter, ...]:
        """All that it trains, in PyTorch's order."""

    @property
    @abstractmethod
    def shifts(self) -> dict[str, Parameter]:
        """Those of the parameters that are added to frozen biases, by layer."""

    @abstractmethod
    def forward(self, g: Graph, image: Map, values: Values, *, keep: bool) -> str:
        """Compute features (n, features) of normalised images; `keep` what backward needs.

        Shifts that are not among the values are in the frozen biases already.
        """

    @abstractmethod
    def backward(self, g: Graph, gradient: str, values: Values) -> Values:
        """Return the gradients of all parameters, after a `forward` that kept."""


def shift_parameters(layers: tuple[ConvLayer, ...], prefix: str) -> dict[str, Parameter]:
    """Return what is added to the biases of layers, by layer."""
    return {
        layer.name: Parameter(f"{prefix}.values.{place}", (layer.out_channels,))
        for place, layer in enumerate(layers)
    }


def shift_grids(g: Graph, shifts: dict[str, Parameter], values: Values) -> dict[str, list[Grid]]:
    """Return the shifts among the values as grids of one element, by layer."""
    return {
        layer: [Grid(g.reshape(values[parameter.name], 1, -1, 1, 1), parameter.size, 1, images=1)]
        for layer, parameter in shifts.items()
        if parameter.name in values
    }
