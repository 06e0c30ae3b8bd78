"""ResNet with the stride on the 3x3 convolution ("v1.5"), as torchvision and timm build it.

Source: He et al., Deep Residual Learning for Image Recognition, CVPR 2016; the paper puts
a bottleneck's stride on its first 1x1 convolution, all published weights on the 3x3.
"""

from typing import Literal

from addapt.backbones.info import BackboneInfo, BlockInfo, InputInfo
from addapt.backbones.structure import Block, ConvLayer, Network

STEM_CHANNELS = 64
BOTTLENECK_EXPANSION = 4
BN_EPS = 1e-5


def resnet(
    name: str, input: InputInfo, block: Literal["basic", "bottleneck"], repeats: tuple[int, ...]
) -> Network:
    """Describe a ResNet.

    Args:
        name: kept in `info`, as is `input`.
        input: what its weights were trained with.
        block: two 3x3 convolutions ("basic"), or 1x1, 3x3, 1x1 ("bottleneck").
        repeats: blocks of each stage.
    """
    blocks: list[Block] = []
    c_in = STEM_CHANNELS
    for stage, count in enumerate(repeats):
        c = STEM_CHANNELS * 2**stage
        for i in range(count):
            stride = 2 if stage > 0 and i == 0 else 1
            made = _block(f"blocks.{len(blocks)}", block, c_in, c, stride)
            blocks.append(made)
            c_in = made.info.out_channels
    return Network(
        info=BackboneInfo(name, input, c_in, tuple(block.info for block in blocks), weights=""),
        stem=_layer("stem.0", 3, STEM_CHANNELS, 7, 2),
        stem_pool=True,
        blocks=tuple(blocks),
        tail=None,
    )


def _block(name: str, kind: str, c_in: int, c: int, stride: int) -> Block:
    residual = f"{name}.residual"
    if kind == "bottleneck":
        c_out = c * BOTTLENECK_EXPANSION
        layers: tuple[ConvLayer, ...] = (
            _layer(f"{residual}.0", c_in, c, 1),
            _layer(f"{residual}.1", c, c, 3, stride),
            _layer(f"{residual}.2", c, c_out, 1, activation="none"),
        )
    else:
        c_out = c
        layers = (
            _layer(f"{residual}.0", c_in, c, 3, stride),
            _layer(f"{residual}.1", c, c_out, 3, activation="none"),
        )
    identity = stride == 1 and c_in == c_out
    shortcut = _layer(f"{name}.shortcut", c_in, c_out, 1, stride, "none")
    inner = tuple(f"residual.{place}.conv" for place in range(len(layers)))
    info = BlockInfo(c_in, c_out, stride, identity, inner)
    return Block(layers, None if identity else shortcut, "relu", info)


def _layer(
    name: str, c_in: int, c_out: int, k: int, stride: int = 1, activation: str = "relu"
) -> ConvLayer:
    return ConvLayer(name, c_in, c_out, k, stride, 1, "half", activation, BN_EPS)
