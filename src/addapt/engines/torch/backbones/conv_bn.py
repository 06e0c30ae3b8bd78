"""Convolution, batch norm, activation: the unit all these networks are made of."""

import math

import torch
import torch.fx
import torch.nn.functional as F
from torch import Tensor, nn

from addapt.backbones import ConvLayer
from addapt.engines.torch.ops.grid import add_grid

ACTIVATIONS = {"relu": nn.ReLU, "relu6": nn.ReLU6}


class ConvBn(nn.Sequential):
    """Convolution without bias, batch norm, and the activation if there is one.

    `pad` comes first where the convolution cannot do the padding itself. `tiles` is where a method
    may put a grid (n, c_out, gh, gw) of biases, added before the activation, for each image and
    square of the map.
    """

    tiles: Tensor | None

    def __init__(self, layer: ConvLayer) -> None:
        super().__init__()
        k, stride = layer.kernel, layer.stride
        # With stride 1 the padding is the same on both sides, whatever the map's size.
        pads_itself = layer.padding == "half" or stride == 1
        if not pads_itself:
            self.pad = SamePad(k, stride)
        padding = k // 2 if pads_itself else 0
        channels = layer.in_channels, layer.out_channels
        self.conv = nn.Conv2d(*channels, k, stride, padding, groups=layer.groups, bias=False)
        self.bn = nn.BatchNorm2d(layer.out_channels, eps=layer.bn_eps)
        if layer.activation != "none":
            self.activation = ACTIVATIONS[layer.activation](inplace=True)
        self.register_buffer("tiles", None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, c_in, h, w) to (n, c_out, h2, w2)."""
        for name, layer in self.named_children():
            x = layer(x)
            if name == "bn" and self.tiles is not None:
                x = add_grid(x, self.tiles)
        return x


class SamePad(nn.Module):
    """Zeros around a map as TensorFlow's "SAME" has them: output side = ceil(input side / stride).

    With stride 2 and an even side, one more row of zeros stands below than above.
    """

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        """Pad (n, c, h, w) for a convolution that pads nothing itself."""
        return pad_same(x, self.kernel, self.stride)


@torch.fx.wrap  # it decides by the map's size, which torch.fx cannot record
def pad_same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Pad both sides of (n, c, h, w) as TensorFlow does."""
    top, bottom = _same_padding(x.shape[-2], kernel, stride)
    left, right = _same_padding(x.shape[-1], kernel, stride)
    return F.pad(x, (left, right, top, bottom))


def _same_padding(side: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
    return total // 2, total - total // 2
