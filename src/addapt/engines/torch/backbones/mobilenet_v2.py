"""MobileNetV2 at width 1.0, as torchvision and timm (mobilenetv2_100) build it.

Source: Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR 2018.
"""

import re

from torch import nn

from addapt.backbones import IMAGENET_INPUT, InputInfo
from addapt.engines.torch.backbones.base import Backbone
from addapt.engines.torch.backbones.conv_bn import ConvBn
from addapt.engines.torch.backbones.fitting import Rename, renaming
from addapt.engines.torch.backbones.inverted_residual import (
    Stage,
    inverted_residual_network,
    rename_timm_layer,
)

# (repeats, kernel, stride, expansion, channels)
STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(3, 3, 2, 6, 32),
    Stage(4, 3, 2, 6, 64),
    Stage(3, 3, 1, 6, 96),
    Stage(3, 3, 2, 6, 160),
    Stage(1, 3, 1, 6, 320),
)

# names in torchvision: features.0 is the stem, features.1 to 17 the blocks, features.18 the tail
TORCHVISION_ENDS = {
    "features.0.0": "stem.conv",
    "features.0.1": "stem.bn",
    "features.18.0": "tail.0.conv",
    "features.18.1": "tail.0.bn",
}
TORCHVISION_LAYERS = {
    "0.0": "expand.conv",
    "0.1": "expand.bn",
    "1.0": "depthwise.conv",
    "1.1": "depthwise.bn",
    "2": "project.conv",
    "3": "project.bn",
}
TORCHVISION_LAYERS_WITHOUT_EXPANSION = {
    "0.0": "depthwise.conv",
    "0.1": "depthwise.bn",
    "1": "project.conv",
    "2": "project.bn",
}


def mobilenet_v2(name: str, input: InputInfo = IMAGENET_INPUT) -> Backbone:
    """Build a MobileNetV2 with random weights; `info` keeps the name and the input."""
    return inverted_residual_network(name, input, STAGES, _conv_bn)


def mobilenet_v2_names() -> Rename:
    """Map the names of torchvision and timm to ours."""
    return renaming(
        lambda layer: _rename_torchvision_layer(layer) or rename_timm_layer(layer, STAGES)
    )


def _rename_torchvision_layer(layer: str) -> str | None:
    match = re.fullmatch(r"features\.(\d+)\.conv\.([\d.]+)", layer)
    if match is None:
        return TORCHVISION_ENDS.get(layer)
    position = int(match[1])
    layers = TORCHVISION_LAYERS if position > 1 else TORCHVISION_LAYERS_WITHOUT_EXPANSION
    inside = layers.get(match[2])
    return f"blocks.{position - 1}.{inside}" if inside else None


def _conv_bn(c_in: int, c_out: int, k: int, stride: int, groups: int, activation: bool) -> ConvBn:
    conv = nn.Conv2d(c_in, c_out, k, stride, padding=k // 2, groups=groups, bias=False)
    return ConvBn(conv, nn.ReLU6(inplace=True) if activation else None)
