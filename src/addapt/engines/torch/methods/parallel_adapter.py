"""Parallel residual adapters: a trained 1 x 1 convolution beside each k x k convolution."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from addapt.engines.torch.freezing import FrozenConv2d
from addapt.engines.torch.methods.convolutions import pointwise


class Parallel(nn.Module):
    """The adapter of one convolution; its bias is also the shift of the convolution's own."""

    def __init__(self, convolution: FrozenConv2d) -> None:
        super().__init__()
        self.adapter = pointwise(convolution.in_channels, convolution.channels)

    def forward(
        self,
        convolution: FrozenConv2d,
        x: Float[Tensor, "n c_in h w"],
        residual: Float[Tensor, "n c_out h2 w2"] | None = None,
    ) -> Float[Tensor, "n c_out h2 w2"]:
        """Compute activation(weight * x + bias + adapter(x) + residual)."""
        beside = self.adapter(window_centres(x, convolution))
        if residual is not None:
            beside = beside + residual
        y: Tensor = convolution(x, beside)
        return y


def window_centres(
    x: Float[Tensor, "n c h w"], convolution: FrozenConv2d
) -> Float[Tensor, "n c h2 w2"]:
    """Return the pixel in the middle of each window of a convolution, densely: `x` if all are.

    Where padding reaches so far that a middle lies outside, it is zero. Of an even number of
    pixels in a window's row or column the middle is the first of the two.
    """
    geometry, kernel = convolution.geometry, convolution.kernel
    channels_last = x.is_contiguous(memory_format=torch.channels_last)
    spans: list[slice] = []
    outside: list[int] = []
    for i, size in enumerate(convolution.output_shape(x)[2:]):
        first = geometry.dilation[i] * ((kernel[i] - 1) // 2) - geometry.padding[i]
        last = first + geometry.stride[i] * (size - 1)
        before, after = max(-first, 0), max(last + 1 - x.shape[2 + i], 0)
        spans.append(slice(first + before, last + before + 1, geometry.stride[i]))
        outside = [before, after, *outside]  # F.pad begins with the last dimension
    if any(outside):
        x = F.pad(x, outside)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return x[:, :, spans[0], spans[1]].contiguous(memory_format=layout)
