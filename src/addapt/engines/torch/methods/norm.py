"""Norm tuning: scale and shift of every batch norm are trained, its statistics stay."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from addapt.engines.torch.freezing import FrozenConv2d


def scale_shift(convolution: FrozenConv2d) -> nn.Module | None:
    """Give every convolution that had a batch norm a scale and a shift."""
    return None if convolution.bias is None else ScaleShift(convolution)


class ScaleShift(nn.Module):
    """Scale and shift of one convolution's channels."""

    def __init__(self, convolution: FrozenConv2d) -> None:
        super().__init__()
        assert convolution.bias is not None
        self.scale = nn.Parameter(convolution.bias.new_ones(convolution.channels))
        self.shift = nn.Parameter(convolution.bias.new_zeros(convolution.channels))

    def forward(
        self,
        convolution: FrozenConv2d,
        x: Float[Tensor, "n c_in h w"],
        residual: Float[Tensor, "n c_out h2 w2"] | None = None,
    ) -> Float[Tensor, "n c_out h2 w2"]:
        """Compute activation(scale * z + shift + residual) with z = weight * x + bias."""
        z = convolution.convolve(x, convolution.bias, None, "none")
        y = torch.addcmul(self.shift[:, None, None], z, self.scale[:, None, None])
        return convolution.activate(y, residual)
