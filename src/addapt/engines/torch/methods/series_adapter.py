"""Series residual adapters: a trained 1 x 1 convolution, with a skip, after each k x k one.

Source: Rebuffi, Bilen, Vedaldi, "Learning multiple visual domains with residual adapters",
NeurIPS 2017.
"""

from dataclasses import dataclass
from typing import ClassVar

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
class SeriesAdapter(Method):
    """A 1 x 1 convolution with a skip after each k x k convolution of the frozen backbone.

    For a convolution with its folded batch norm, k > 1, and an activation:

        z = W * x + b,    y = activation(z + A z),    A a 1 x 1 convolution with a bias

    `A` sees all channels also where `W` is depthwise. It starts at zero: before training the
    features are the backbone's own, bit for bit. Biases of the convolutions without an adapter,
    the 1 x 1 ones, are trained, too.

    *Deviations:* the source has a batch norm inside the adapter, before its 1 x 1 convolution, and
    the network's batch norm after it, both the domain's own, with statistics of its own images.
    Here the frozen, folded norm comes before the adapter and none after it; the trained biases
    stand for the norms' shifts. So a batch may be split into micro-batches exactly. In bottlenecks
    and inverted residuals, which the source does not treat, an adapter follows the one k x k
    convolution; where that is depthwise, among the many channels of an inverted residual, the
    adapters together have more parameters than the backbone. The source trains by SGD, at one
    rate; with Adam the adapters' weights need a lower one than biases and head.

    *Memory:* the adapter is trained, so that its input z, the convolution's output, must be kept:
    4 n c_out h2 w2 bytes for a k x k convolution with an output of h2 x w2. All else is lean, 1 bit
    for each element of a ReLU.
    """

    name: ClassVar[str] = "series_adapter"
    summary: ClassVar[str] = "a 1 x 1 convolution after each frozen k x k convolution"
    why_kept: ClassVar[str] = (
        "The adapter's weight is trained on the output of each convolution, kept whole."
    )
    recipe: ClassVar[Recipe] = Recipe(
        lr=1e-3, epochs=10, micro_batch=8, label_smoothing=0.1, backbone_lr=1e-4
    )

    def attach(self, backbone: Backbone, classes: int) -> AdaptedModel:
        """Make a model with an adapter after each k x k convolution.

        Raises:
            OptionError: the backbone is plain.
        """
        adaptor = ConvolutionAdaptor(backbone, adapter_or_shift(Series))
        return AdaptedModel(backbone, adaptor, classes)


class Series(nn.Module):
    """The adapter of one convolution."""

    def __init__(self, convolution: FrozenConv2d) -> None:
        super().__init__()
        self.adapter = pointwise(convolution.channels, convolution.channels)

    def forward(
        self,
        convolution: FrozenConv2d,
        x: Float[Tensor, "n c_in h w"],
        residual: Float[Tensor, "n c_out h2 w2"] | None = None,
    ) -> Float[Tensor, "n c_out h2 w2"]:
        """Compute activation(z + adapter(z) + residual) with z = weight * x + bias."""
        z = convolution.convolve(x, convolution.bias, None, "none")
        y: Tensor = self.adapter(z)
        y = y.add_(z)  # in place, as a convolution's backward does not need its result
        return convolution.activate(y, residual)
