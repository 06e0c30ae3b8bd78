"""ResNet with the stride on the 3x3 convolution ("v1.5"), as torchvision and timm build it.

Source: He et al., Deep Residual Learning for Image Recognition, CVPR 2016; the paper puts
a bottleneck's stride on its first 1x1 convolution, all published weights on the 3x3.
"""

import re
from functools import partial
from typing import Literal

from torch import Tensor, nn

from addapt.backbones import IMAGENET_INPUT, BackboneInfo, BlockInfo, InputInfo
from addapt.engines.torch.backbones.base import Backbone
from addapt.engines.torch.backbones.conv_bn import ConvBn
from addapt.engines.torch.backbones.fitting import Rename, block_index, renaming

STEM_CHANNELS = 64
BOTTLENECK_EXPANSION = 4


class ResidualBlock(nn.Module):
    """relu(residual(x) + shortcut(x)); the shortcut is x itself where shapes allow."""

    def __init__(self, residual: nn.Sequential, shortcut: ConvBn | None) -> None:
        super().__init__()
        self.residual = residual
        self.shortcut = shortcut
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, c_in, h, w) to (n, c_out, ceil(h / stride), ceil(w / stride))."""
        y = self.residual(x) + (x if self.shortcut is None else self.shortcut(x))
        activated: Tensor = self.activation(y)
        return activated


def resnet(
    name: str,
    block: Literal["basic", "bottleneck"],
    repeats: tuple[int, ...],
    input: InputInfo = IMAGENET_INPUT,
) -> Backbone:
    """Build a ResNet with random weights; `info` keeps the name and the input.

    Args:
        name: registry name.
        block: two 3x3 convolutions ("basic"), or 1x1, 3x3, 1x1 ("bottleneck").
        repeats: blocks of each stage.
        input: what its weights were trained with.
    """
    blocks: list[nn.Module] = []
    infos: list[BlockInfo] = []
    c_in = STEM_CHANNELS
    for stage, count in enumerate(repeats):
        c = STEM_CHANNELS * 2**stage
        c_out = c * BOTTLENECK_EXPANSION if block == "bottleneck" else c
        for i in range(count):
            stride = 2 if stage > 0 and i == 0 else 1
            layers = (
                [_conv_bn(c_in, c, 1), _conv_bn(c, c, 3, stride), _conv_bn(c, c_out, 1, 1, False)]
                if block == "bottleneck"
                else [_conv_bn(c_in, c, 3, stride), _conv_bn(c, c_out, 3, 1, False)]
            )
            identity = stride == 1 and c_in == c_out
            shortcut = None if identity else _conv_bn(c_in, c_out, 1, stride, False)
            blocks.append(ResidualBlock(nn.Sequential(*layers), shortcut))
            inner = tuple(f"residual.{place}.conv" for place in range(len(layers)))
            infos.append(BlockInfo(c_in, c_out, stride, identity, inner))
            c_in = c_out
    info = BackboneInfo(name=name, input=input, features=c_in, blocks=tuple(infos))
    stem = nn.Sequential(_conv_bn(3, STEM_CHANNELS, 7, 2), nn.MaxPool2d(3, 2, padding=1))
    tail = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Backbone(stem, blocks, tail, info, check=False)


def resnet_names(repeats: tuple[int, ...]) -> Rename:
    """Map torchvision's names, which are timm's too, to ours."""
    return renaming(partial(_rename_layer, repeats=repeats))


def _rename_layer(layer: str, repeats: tuple[int, ...]) -> str | None:
    if layer in ("conv1", "bn1"):
        return f"stem.0.{layer[:-1]}"
    match = re.fullmatch(r"layer(\d+)\.(\d+)\.(?:(conv|bn)(\d)|downsample\.([01]))", layer)
    block = match and block_index(int(match[1]) - 1, int(match[2]), repeats)
    if match is None or block is None:
        return None
    if match[5]:
        return f"blocks.{block}.shortcut.{'conv' if match[5] == '0' else 'bn'}"
    return f"blocks.{block}.residual.{int(match[4]) - 1}.{match[3]}"


def _conv_bn(c_in: int, c_out: int, k: int, stride: int = 1, activation: bool = True) -> ConvBn:
    conv = nn.Conv2d(c_in, c_out, k, stride, padding=k // 2, bias=False)
    return ConvBn(conv, nn.ReLU(inplace=True) if activation else None)
