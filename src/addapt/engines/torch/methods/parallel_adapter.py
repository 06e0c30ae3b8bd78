"""Parallel residual adapters: a trained 1 x 1 convolution beside each k x k convolution.

Source: Rebuffi, Bilen, Vedaldi, "Efficient Parametrization of Multi-Domain Deep Neural
Networks", CVPR 2018.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.freezing import FrozenConv2d
from addapt.engines.torch.methods.base import AdaptedModel, Method, Recipe
from addapt.engines.torch.methods.convolutions import (
    ConvolutionAdaptor,
    adapter_or_shift,
    pointwise,
)


@dataclass(frozen=True)
class ParallelAdapter(Method):
    """A 1 x 1 convolution beside each k x k convolution of the frozen backbone.

    For a convolution with its folded batch norm, k > 1, and an activation:

        y = activation(W * x + b + A x),    A a 1 x 1 convolution of the same stride, with a bias

    `A` sees the middle of each window of `W`, and all its channels also where `W` is depthwise.
    It starts at zero: before training the features are the backbone's own, bit for bit. Biases
    of the convolutions without an adapter, the 1 x 1 ones, are trained, too.

    *Deviations:* the source gives each domain batch norms of its own, with statistics of its own
    images. Here the batch norms are folded and their statistics stay the backbone's; the trained
    biases stand for the norms' shifts. So a batch may be split into micro-batches exactly. In
    bottlenecks and inverted residuals, which the source does not treat, an adapter stands beside
    the one k x k convolution; where that is depthwise, among the many channels of an inverted
    residual, the adapters together have more parameters than the backbone. The source trains by
    SGD, at one rate; with Adam the adapters' weights need a lower one than biases and head.

    *Memory:* the adapter is trained, so that its input must be kept: 4 n c_in h2 w2 bytes for a
    k x k convolution with an output of h2 x w2, where stride 1 keeps the map itself and a larger
    stride the pixels that are used. All else is lean, 1 bit for each element of a ReLU.
    """

    name: ClassVar[str] = "parallel_adapter"
    summary: ClassVar[str] = "a 1 x 1 convolution beside each frozen k x k convolution"
    why_kept: ClassVar[str] = (
        "The adapter's weight is trained on the input of each k x k convolution, kept whole."
    )
    recipe: ClassVar[Recipe] = Recipe(
        lr=1e-3, epochs=10, micro_batch=8, label_smoothing=0.1, backbone_lr=1e-4
    )

    def attach(self, backbone: Backbone, classes: int) -> AdaptedModel:
        """Make a model with an adapter beside each k x k convolution.

        Raises:
            OptionError: the backbone is plain.
        """
        adaptor = ConvolutionAdaptor(backbone, adapter_or_shift(Parallel))
        return AdaptedModel(backbone, adaptor, classes)


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
