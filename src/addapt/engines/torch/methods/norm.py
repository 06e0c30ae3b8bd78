"""Norm tuning: scale and shift of every batch norm are trained, its statistics stay.

Source: common practice, studied by Mudrakarta, Sandler, Zhmoginov, Howard, "K for the Price of 1:
Parameter-efficient Multi-task and Transfer Learning", ICLR 2019.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.freezing import FrozenConv2d
from addapt.engines.torch.methods.base import AdaptedModel, Method, Recipe
from addapt.engines.torch.methods.convolutions import ConvolutionAdaptor


@dataclass(frozen=True)
class Norm(Method):
    """Train a scale and a shift of each channel after every frozen convolution.

    For a convolution with its folded batch norm and an activation:

        z = W * x + b,    y = activation(g z + d)

    With g = 1 and d = 0, where training starts, the features are the backbone's own, bit for bit.

    *Deviations:* usually the batch norm's own scale and shift are trained, and its statistics
    follow the new images. Here all these are folded into W and b, so that g and d scale and shift
    the norm's result: the same functions, in other coordinates, but with the backbone's statistics.
    So a batch may be split into micro-batches exactly.

    *Memory:* the gradient of g needs z, which is kept after every convolution:
    4 n c_out h2 w2 bytes, and 1 bit for each element of a ReLU.
    """

    name: ClassVar[str] = "norm"
    summary: ClassVar[str] = "scale and shift of every batch norm, statistics frozen"
    why_kept: ClassVar[str] = (
        "A trained scale multiplies the output of each convolution, which its gradient needs whole."
    )
    recipe: ClassVar[Recipe] = Recipe(lr=1e-3, epochs=10, micro_batch=8, label_smoothing=0.1)

    def attach(self, backbone: Backbone, classes: int) -> AdaptedModel:
        """Make a model with a scale and a shift after every convolution that had a batch norm.

        Raises:
            OptionError: the backbone is plain.
        """
        return AdaptedModel(backbone, ConvolutionAdaptor(backbone, _layer), classes)


def _layer(convolution: FrozenConv2d) -> nn.Module | None:
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
