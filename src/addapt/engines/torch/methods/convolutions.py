"""Adapting a lean backbone convolution by convolution, without touching or copying it."""

from collections.abc import Callable, Iterator
from typing import Any

from jaxtyping import Float
from torch import Tensor, fx, nn

from addapt._errors import OptionError
from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.freezing import FrozenConv2d
from addapt.engines.torch.methods.base import Adaptor

# From a shared convolution to the layer that computes it for a domain; None leaves it as it is.
MakeLayer = Callable[[FrozenConv2d], nn.Module | None]


class ConvolutionAdaptor(Adaptor):
    """A lean backbone, some of whose convolutions are computed by a domain's own layers.

    Such a layer owns what is the domain's and nothing else. It is called with the shared
    convolution and with what that would be called with: `layer(convolution, x, residual=None)`.

    Args:
        backbone: lean; its graph is walked through at each call, and is never changed.
        make_layer: asked for each of its convolutions, in the order of the network.

    Raises:
        OptionError: the backbone is plain.
    """

    def __init__(self, backbone: Backbone, make_layer: MakeLayer) -> None:
        super().__init__()
        if not all(isinstance(part, fx.GraphModule) for _, part in backbone.named_parts()):
            raise OptionError(
                f"This method changes the convolutions of a lean backbone, and {backbone.info.name}"
                " is a plain one, with batch norms apart. Give load_backbone(...) without "
                "plain=True, or backbone.lean()."
            )
        self.layers = nn.ModuleDict()
        for name, convolution in convolutions(backbone):
            layer = make_layer(convolution)
            if layer is not None:
                self.layers[_key(name)] = layer

    def forward(self, backbone: Backbone, x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n f"]:
        """Compute adapted features."""
        for name, part in backbone.named_parts():
            assert isinstance(part, fx.GraphModule)
            x = _Walk(part, name, self.layers).run(x)
        return x

    def pretrained_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the weights of whole convolutions, whose sums over many channels soon grow large.

        With Adam each of them moves by the rate in every step: at that of a bias, training a
        1 x 1 convolution of 1,000 channels destroys the features.
        """
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                yield layer.get_parameter("weight")

    def layer_of(self, name: str) -> nn.Module | None:
        """Return the domain's layer in the place of the convolution called so, if there is one."""
        key = _key(name)
        return self.layers[key] if key in self.layers else None


def convolutions(backbone: Backbone) -> Iterator[tuple[str, FrozenConv2d]]:
    """Yield the convolutions of a lean backbone by name, in the order of the network."""
    for part_name, part in backbone.named_parts():
        for name, layer in part.named_modules():
            if isinstance(layer, FrozenConv2d):
                yield f"{part_name}.{name}", layer


class _Walk(fx.Interpreter):
    """Runs a part of the network with the domain's layers in their places."""

    def __init__(self, part: fx.GraphModule, name: str, layers: nn.ModuleDict) -> None:
        super().__init__(part)
        self.extra_traceback = False  # an error's message stays what it is
        self._name, self._layers = name, layers

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        key = _key(f"{self._name}.{target}")
        if key not in self._layers:
            return super().call_module(target, args, kwargs)
        return self._layers[key](self.fetch_attr(target), *args, **kwargs)


def _key(name: str) -> str:
    """Return a name that a ModuleDict takes: no dots."""
    return name.replace(".", "/")


class Shift(nn.Module):
    """The convolution itself, its bias shifted by a trained one; backward keeps no more for it."""

    def __init__(self, convolution: FrozenConv2d) -> None:
        super().__init__()
        assert convolution.bias is not None
        self.shift = nn.Parameter(convolution.bias.new_zeros(convolution.channels))

    def forward(
        self,
        convolution: FrozenConv2d,
        x: Float[Tensor, "n c_in h w"],
        residual: Float[Tensor, "n c_out h2 w2"] | None = None,
    ) -> Float[Tensor, "n c_out h2 w2"]:
        """Compute activation(weight * x + bias + shift + residual)."""
        assert convolution.bias is not None
        bias = convolution.bias + self.shift
        return convolution.convolve(x, bias, residual, convolution.geometry.activation)


def adapter_or_shift(adapter: Callable[[FrozenConv2d], nn.Module]) -> MakeLayer:
    """Give k x k convolutions, k > 1, an adapter, and a trained bias to the 1 x 1 that have one."""

    def make_layer(convolution: FrozenConv2d) -> nn.Module | None:
        if max(convolution.kernel) > 1:
            return adapter(convolution)
        return None if convolution.bias is None else Shift(convolution)

    return make_layer


def pointwise(c_in: int, c_out: int) -> nn.Conv2d:
    """Make a 1 x 1 convolution that starts at zero, bias included."""
    layer = nn.Conv2d(c_in, c_out, 1)
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
