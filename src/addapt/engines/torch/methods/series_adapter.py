"""Series residual adapters: a trained 1 x 1 convolution, with a skip, after each k x k one."""

from jaxtyping import Float
from torch import Tensor, nn

from addapt.engines.torch.freezing import FrozenConv2d
from addapt.engines.torch.methods.convolutions import pointwise


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
