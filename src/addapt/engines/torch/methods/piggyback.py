"""Piggyback: a trained binary mask for each weight of the frozen backbone."""

from collections.abc import Iterator
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.freezing import FrozenConv2d
from addapt.engines.torch.methods.base import Adaptor
from addapt.engines.torch.methods.convolutions import ConvolutionAdaptor
from addapt.engines.torch.ops.bits import bits_bytes, pack_bits, unpack_bits
from addapt.engines.torch.ops.masked_conv import masked_conv2d
from addapt.methods import Piggyback


class MaskedConvolutions(Adaptor):
    """The masks of all convolutions."""

    def __init__(self, backbone: Backbone, method: Piggyback) -> None:
        super().__init__()
        self.method = method
        self.convolutions = ConvolutionAdaptor(backbone, partial(Mask, method=method))

    def forward(self, backbone: Backbone, x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n f"]:
        """Compute the features of the masked network."""
        features: Tensor = self.convolutions(backbone, x)
        return features

    def pretrained_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the masks: they make the pre-trained network at first, and have its rate."""
        return self.parameters()

    def stored(self, name: str, tensor: Tensor) -> Tensor:
        """Return one bit an element: whether its weight counts."""
        if tensor.is_meta:  # only the shape is asked for
            return tensor.new_empty(bits_bytes(tensor.numel()), dtype=torch.uint8)
        return pack_bits((tensor.detach() > self.method.threshold).flatten().float())

    def restored(self, name: str, tensor: Tensor) -> Tensor:
        """Return a mask as far above or below the threshold as it was in the beginning."""
        own = dict(self.named_parameters()).get(name)
        is_packed = tensor.dtype == torch.uint8 and tensor.dim() == 1
        if own is None or not is_packed or len(tensor) != bits_bytes(own.numel()):
            return tensor  # whoever loads it will refuse it
        counts = unpack_bits(tensor, own.numel(), torch.float32).bool().view(own.shape)
        start, threshold = self.method.start, self.method.threshold
        return torch.where(counts, start, 2 * threshold - start)


class Mask(nn.Module):
    """The real mask of one convolution's weight."""

    def __init__(self, convolution: FrozenConv2d, method: Piggyback) -> None:
        super().__init__()
        self.threshold = method.threshold
        # in the memory order of the weight
        self.mask = nn.Parameter(convolution.plain_weight().clone().fill_(method.start))

    def forward(
        self,
        convolution: FrozenConv2d,
        x: Float[Tensor, "n c_in h w"],
        residual: Float[Tensor, "n c_out h2 w2"] | None = None,
    ) -> Float[Tensor, "n c_out h2 w2"]:
        """Compute activation(masked weight * x + bias + residual)."""
        weight, bias = convolution.plain_weight(), convolution.bias
        geometry = convolution.geometry
        if residual is None or convolution.fuses(x, residual):
            return masked_conv2d(x, weight, self.mask, bias, residual, geometry, self.threshold)
        plain = geometry._replace(activation="none")
        y = masked_conv2d(x, weight, self.mask, bias, None, plain, self.threshold)
        return convolution.activate(y, residual)
