"""Networks of inverted residual blocks, and the names timm gives to their layers.

Source: Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR 2018.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor, nn

from addapt.backbones import BackboneInfo, BlockInfo, InputInfo
from addapt.engines.torch.backbones.base import Backbone
from addapt.engines.torch.backbones.conv_bn import ConvBn
from addapt.engines.torch.backbones.fitting import block_index

STEM_CHANNELS = 32
FEATURES = 1280

TIMM_ENDS = {
    "conv_stem": "stem.conv",
    "bn1": "stem.bn",
    "conv_head": "tail.0.conv",
    "bn2": "tail.0.bn",
}
TIMM_LAYERS = {
    "conv_pw": "expand.conv",
    "bn1": "expand.bn",
    "conv_dw": "depthwise.conv",
    "bn2": "depthwise.bn",
    "conv_pwl": "project.conv",
    "bn3": "project.bn",
}
TIMM_LAYERS_WITHOUT_EXPANSION = {
    "conv_dw": "depthwise.conv",
    "bn1": "depthwise.bn",
    "conv_pw": "project.conv",
    "bn2": "project.bn",
}

INNER_LAYERS = ("expand.conv", "depthwise.conv", "project.conv")

# (c_in, c_out, kernel, stride, groups, activation) -> layers
ConvBnBuilder = Callable[[int, int, int, int, int, bool], ConvBn]


class Stage(NamedTuple):
    """Blocks of the same shape; the first one has the stride, the others have 1."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


class InvertedResidual(nn.Module):
    """Expand by 1x1, depthwise k x k, project by 1x1; plus the input where shapes allow."""

    def __init__(
        self, c_in: int, c_out: int, k: int, stride: int, expansion: int, conv_bn: ConvBnBuilder
    ) -> None:
        super().__init__()
        c = c_in * expansion
        self.expand = conv_bn(c_in, c, 1, 1, 1, True) if expansion != 1 else None
        self.depthwise = conv_bn(c, c, k, stride, c, True)
        self.project = conv_bn(c, c_out, 1, 1, 1, False)
        self.identity_shortcut = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, c_in, h, w) to (n, c_out, ceil(h / stride), ceil(w / stride))."""
        expanded = x if self.expand is None else self.expand(x)
        y: Tensor = self.project(self.depthwise(expanded))
        return y + x if self.identity_shortcut else y


def inverted_residuals(
    c_in: int, stages: Sequence[Stage], conv_bn: ConvBnBuilder
) -> tuple[list[InvertedResidual], tuple[BlockInfo, ...]]:
    """Build the blocks of all stages and their descriptions."""
    blocks: list[InvertedResidual] = []
    infos: list[BlockInfo] = []
    for repeats, k, first_stride, expansion, c in stages:
        for i in range(repeats):
            stride = first_stride if i == 0 else 1
            block = InvertedResidual(c_in, c, k, stride, expansion, conv_bn)
            blocks.append(block)
            # Without expansion the inner channels are those of the input.
            inner = INNER_LAYERS if expansion != 1 else ()
            infos.append(BlockInfo(c_in, c, stride, block.identity_shortcut, inner))
            c_in = c
    return blocks, tuple(infos)


def inverted_residual_network(
    name: str, input: InputInfo, stages: Sequence[Stage], conv_bn: ConvBnBuilder
) -> Backbone:
    """Build a network of these blocks between a convolution and a head that makes the features."""
    blocks, infos = inverted_residuals(STEM_CHANNELS, stages, conv_bn)
    head = conv_bn(stages[-1].channels, FEATURES, 1, 1, 1, True)
    tail = nn.Sequential(head, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    info = BackboneInfo(name=name, input=input, features=FEATURES, blocks=infos)
    return Backbone(conv_bn(3, STEM_CHANNELS, 3, 2, 1, True), blocks, tail, info, check=False)


def rename_timm_layer(layer: str, stages: Sequence[Stage]) -> str | None:
    """Our name of one of timm's layers ("blocks.1.0.conv_dw"), or None if it is not one."""
    match = re.fullmatch(r"blocks\.(\d+)\.(\d+)\.(\w+)", layer)
    if match is None:
        return TIMM_ENDS.get(layer)
    stage = int(match[1])
    block = block_index(stage, int(match[2]), [s.repeats for s in stages])
    if block is None:
        return None
    expands = stages[stage].expansion != 1
    inside = (TIMM_LAYERS if expands else TIMM_LAYERS_WITHOUT_EXPANSION).get(match[3])
    return f"blocks.{block}.{inside}" if inside else None
