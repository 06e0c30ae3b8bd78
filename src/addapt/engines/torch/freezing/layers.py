"""The modules that a frozen network is made of."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from addapt._errors import OptionError
from addapt.engines.torch.ops.activation import LEAN_ACTIVATIONS, Activation
from addapt.engines.torch.ops.affine import channel_affine
from addapt.engines.torch.ops.conv import (
    ConvGeometry,
    PackedWeight,
    Tiles,
    can_pack,
    frozen_conv2d,
    output_size,
    pack_weight,
)
from addapt.engines.torch.ops.differentiate import only_plain_serves
from addapt.engines.torch.ops.grid import square_side


class FrozenConv2d(nn.Module):
    """Convolution with a folded batch norm, a residual sum and an activation; see `frozen_conv2d`.

    `bias` asks for no gradient by itself; a method may put a trained one in its place. `tiles` is
    where it may put a grid (n, c_out, gh, gw) of biases for each image and square of the map.
    """

    tiles: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None, geometry: ConvGeometry) -> None:
        super().__init__()
        self.weight: nn.Parameter | None = nn.Parameter(weight, requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
        self.geometry = geometry
        self.in_channels, self.channels = weight.shape[1] * geometry.groups, weight.shape[0]
        self.kernel = tuple(weight.shape[2:])
        self.register_buffer("tiles", None, persistent=False)
        self.packs = False
        self._packed: PackedWeight | None = None

    def forward(
        self, x: Float[Tensor, "n c_in h w"], residual: Float[Tensor, "n c_out h2 w2"] | None = None
    ) -> Float[Tensor, "n c_out h2 w2"]:
        """Compute activation(weight * x + bias + tiles + residual)."""
        return self.convolve(x, self.bias, residual, self.geometry.activation)

    def convolve(
        self,
        x: Float[Tensor, "n c_in h w"],
        bias: Float[Tensor, " c_out"] | None,
        residual: Float[Tensor, "n c_out h2 w2"] | None,
        activation: Activation,
    ) -> Float[Tensor, "n c_out h2 w2"]:
        """Compute the same with another bias, which may be trained, and another activation."""
        if self.packs and self._packed is None and can_pack(x):
            self._pack(x.shape)
        weight: Tensor | PackedWeight | None = self._packed
        # Packed copies do not serve everywhere, such as for an empty batch.
        if weight is not None and only_plain_serves():
            raise OptionError(
                "Packed weights cannot be compiled, exported or transformed by torch.func: call "
                "addapt.unpack_weights(network) before."
            )
        if weight is None or not can_pack(x):
            weight = self.plain_weight()
        geometry = self.geometry._replace(activation=activation)
        tiles = None
        if self.tiles is not None:
            shape = self.output_shape(x)
            side = square_side(shape[2:], self.tiles.shape[2:])
            if side is None:  # it has a border of its own
                spread = F.interpolate(self.tiles, shape[2:])
                residual = spread if residual is None else residual + spread
            else:
                tiles = Tiles(self.tiles, side)
        if residual is not None and not self.fuses(x, residual):
            plain = geometry._replace(activation="none")
            y = frozen_conv2d(x, weight, bias, None, plain, tiles) + residual
            return LEAN_ACTIVATIONS[activation](y)
        return frozen_conv2d(x, weight, bias, residual, geometry, tiles)

    def fuses(self, x: Float[Tensor, "n c_in h w"], residual: object) -> bool:
        """Say whether a summand can be fused: a tensor, and not one that is broadcast.

        A graph does not tell: in `conv(x) + x.size(1)` it is a number.
        """
        return isinstance(residual, Tensor) and residual.shape == self.output_shape(x)

    def activate(
        self,
        y: Float[Tensor, "n c_out h2 w2"],
        residual: Float[Tensor, "n c_out h2 w2"] | None,
    ) -> Float[Tensor, "n c_out h2 w2"]:
        """Compute activation(y + residual), for a y that a method made of the convolution."""
        return LEAN_ACTIVATIONS[self.geometry.activation](y if residual is None else y + residual)

    def plain_weight(self) -> Float[Tensor, "c_out c_in/groups kh kw"]:
        """Return the weight in its plain order: itself, or a copy while it is packed."""
        if self._packed is not None:
            return self._packed.forward.to_dense()
        assert self.weight is not None
        return self.weight

    def output_shape(self, x: Float[Tensor, "n c_in h w"]) -> torch.Size:
        """Return the shape of what is made of `x`."""
        size = output_size(x.shape[2:], self.kernel, self.geometry)
        return torch.Size((x.shape[0], self.channels, *size))

    def __getstate__(self) -> dict[str, Any]:
        """Let a copy start with the plain weight: oneDNN's order cannot be copied."""
        state = self.__dict__.copy()
        if self._packed is not None:
            state |= {"_packed": None, "_parameters": {**self._parameters, "weight": self._plain()}}
        return state

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        if self._packed is not None:
            destination[f"{prefix}weight"] = self.plain_weight()
        super()._save_to_state_dict(destination, prefix, keep_vars)

    def _load_from_state_dict(self, *args: Any) -> None:
        self._drop_packed()
        super()._load_from_state_dict(*args)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "FrozenConv2d":
        self._drop_packed()  # another device or type needs another order, or none
        return super()._apply(fn, recurse)  # type: ignore[no-any-return, no-untyped-call]

    def _pack(self, input_shape: torch.Size) -> None:
        assert self.weight is not None
        with torch.inference_mode(False):  # training may go on with what predicting has made
            self._packed = pack_weight(self.weight, self.geometry, input_shape)
        last = self.weight.is_contiguous(memory_format=torch.channels_last)
        self._layout = torch.channels_last if last else torch.contiguous_format
        self.weight = None  # the packed copies take its place

    def _plain(self) -> nn.Parameter:
        with torch.inference_mode(False):
            weight = self.plain_weight().contiguous(memory_format=self._layout)
            return nn.Parameter(weight, requires_grad=False)

    def _drop_packed(self) -> None:
        """Put the plain weight in the place of packed copies; the next call may pack it anew."""
        if self._packed is not None:
            self.weight, self._packed = self._plain(), None

    def unpack(self) -> None:
        """Give back the plain weight and stop packing."""
        self.packs = False
        self._drop_packed()

    def extra_repr(self) -> str:
        """Say what the geometry is."""
        return ", ".join(f"{name}={value}" for name, value in self.geometry._asdict().items())


class FrozenAffine(nn.Module):
    """A batch norm that follows no convolution: x * scale + bias by channel, and an activation."""

    def __init__(self, scale: Tensor, bias: Tensor, activation: Activation) -> None:
        super().__init__()
        self.scale = nn.Parameter(scale, requires_grad=False)
        self.bias = nn.Parameter(bias, requires_grad=False)
        self.activation = activation

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Compute activation(x * scale + bias)."""
        return channel_affine(x, self.scale, self.bias, self.activation)


def pack_weights(module: nn.Module) -> None:
    """Let every frozen convolution keep its weight in oneDNN's order from its next call on.

    A step then reorders no weights, which matters for small micro-batches; two packed copies
    (for forward and for the input's gradient) take the place of the plain weight. A state dict
    holds plain weights all the same, and so does whatever is copied, loaded or moved, until its
    next call.
    """
    for layer in module.modules():
        if isinstance(layer, FrozenConv2d):
            layer.packs = True


def unpack_weights(module: nn.Module) -> None:
    """Put plain weights back in the place of packed ones."""
    for layer in module.modules():
        if isinstance(layer, FrozenConv2d):
            layer.unpack()


def trained_biases(module: nn.Module) -> dict[str, Tensor]:
    """Return, by name, the biases in `module` whose training costs nothing in backward.

    They are those of frozen layers, or the shifts of batch norms in a network that is not frozen.
    """
    layers = (FrozenConv2d, FrozenAffine, nn.BatchNorm2d)
    return {
        f"{name}.bias" if name else "bias": layer.bias.detach()
        for name, layer in module.named_modules()
        if isinstance(layer, layers) and isinstance(layer.bias, torch.Tensor)
    }
