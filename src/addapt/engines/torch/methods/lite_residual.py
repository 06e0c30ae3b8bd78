"""A lite residual: a small branch on a pooled map, added to a frozen block's output.

Source: Cai, Gan, Zhu, Han, "TinyTL", NeurIPS 2020, section 3.2; Rep-Net's modules are the same.
"""

import math

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from addapt.engines.torch.ops.activation import relu
from addapt.engines.torch.ops.conv import may_be_overwritten
from addapt.engines.torch.ops.grid import add_tiled
from addapt.methods import RepNet, TinyTL

NORM_CHANNELS = 8  # channels of a group norm's group, as in the source
LEAST_HIDDEN = 8  # as in the source
MOST_GROUP_CHANNELS = 96  # of the k x k convolution's input, as many as the source's widest has


class LiteResidual(nn.Module):
    """Grouped k x k convolution, norm, ReLU, 1 x 1 convolution, norm; gives zeros at the start.

    Args:
        c_in: channels of the pooled map.
        c_out: channels of the block's output.
        method: says k (`kernel`), the least number of its groups, of which there are as many as
            divide the channels, and how many channels are hidden.
        stride: of the k x k convolution.

    *Memory:* of n images, P elements a channel in the pooled map and G in the result,
    4 n (c_in P + (2 hidden + c_out) G) bytes, 1 bit a hidden element, and 8 bytes for each
    group of a norm.
    """

    def __init__(self, c_in: int, c_out: int, method: TinyTL | RepNet, *, stride: int = 1) -> None:
        super().__init__()
        hidden = min(max(round(c_in * method.expand), LEAST_HIDDEN), method.width)
        groups = _common_divisor(c_in, hidden, max(method.groups, c_in / MOST_GROUP_CHANNELS))
        k = method.kernel
        self.conv_in = nn.Conv2d(c_in, hidden, k, stride, k // 2, groups=groups, bias=False)
        self.norm_in = _group_norm(hidden)
        self.conv_out = nn.Conv2d(hidden, c_out, 1, bias=False)
        self.norm_out = _group_norm(c_out)
        nn.init.zeros_(self.norm_out.weight)

    def forward(self, p: Float[Tensor, "n c_in h w"]) -> Float[Tensor, "n c_out h2 w2"]:
        """Compute what is to be added, on the coarse grid of the pooled map `p`."""
        hidden = relu(self.norm_in(self.conv_in(p)))
        residual: Tensor = self.norm_out(self.conv_out(hidden))
        return residual


def add_spread(
    y: Float[Tensor, "n c h w"], small: Float[Tensor, "n c gh gw"], x: Tensor
) -> Float[Tensor, "n c h w"]:
    """Return y plus `small`, each of whose elements is spread over a square of y.

    Args:
        y: a block's output.
        small: a coarse grid over it.
        x: the block's input; `y` becomes the result unless it lies there, or backward needs it.

    *Memory:* nothing.
    """
    (h, w), (rows, columns) = y.shape[2:], small.shape[2:]
    factor = max(math.ceil(h / rows), math.ceil(w / columns))
    if (rows, columns) != (math.ceil(h / factor), math.ceil(w / factor)):
        return y + F.interpolate(small, (h, w))  # a block with a border of its own
    return add_tiled(y, small, factor, in_place=may_be_overwritten(y, x))


def _common_divisor(a: int, b: int, least: float) -> int:
    """Return the smallest number from `least` on that divides both, or else the largest."""
    largest = math.gcd(a, b)
    divisors = (d for d in range(math.ceil(least), largest) if largest % d == 0)
    return next(divisors, largest)


def _group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(max(channels // NORM_CHANNELS, 1), channels), channels)
