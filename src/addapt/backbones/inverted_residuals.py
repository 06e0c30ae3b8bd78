"""Networks of inverted residual blocks: MobileNetV2 and EfficientNet-Lite.

A block expands by 1x1, goes over each channel by k x k, and projects by 1x1.

Source: Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR 2018.
Tan and Le, EfficientNet, ICML 2019; the "lite" variants by the TensorFlow authors (2020) drop
squeeze-and-excite and swish so that they run well on edge devices.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from addapt.backbones.info import BackboneInfo, BlockInfo, InputInfo
from addapt.backbones.structure import Block, ConvLayer, Network

STEM_CHANNELS = 32
FEATURES = 1280


class Stage(NamedTuple):
    """Blocks of the same shape; the first one has the stride, the others have 1."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


# the seven stages of the base network, efficientnet_lite0
LITE_STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
MOBILENET_STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(3, 3, 2, 6, 32),
    Stage(4, 3, 2, 6, 64),
    Stage(3, 3, 1, 6, 96),
    Stage(3, 3, 2, 6, 160),
    Stage(1, 3, 1, 6, 320),
)

# (name, in_channels, out_channels, kernel, stride, groups, activation=...) -> layer
MakeLayer = Callable[..., ConvLayer]
lite_layer = partial(ConvLayer, padding="same", bn_eps=1e-3)  # TensorFlow's default
mobilenet_layer = partial(ConvLayer, padding="half", bn_eps=1e-5)


def mobilenet_v2(name: str, input: InputInfo) -> Network:
    """Describe MobileNetV2 at width 1.0, as torchvision and timm (mobilenetv2_100) build it."""
    return _network(name, input, MOBILENET_STAGES, mobilenet_layer)


def efficientnet_lite(name: str, input: InputInfo, width: float, depth: float) -> Network:
    """Describe an EfficientNet-Lite.

    Args:
        name: kept in `info`, as is `input`.
        input: what its weights were trained with.
        width: multiplier of the stages' channels (rounded to multiples of 8).
        depth: multiplier of the stages' repeats; the first and last stage keep theirs.
    """
    first, *middle, last = (
        s._replace(channels=_round_channels(s.channels * width)) for s in LITE_STAGES
    )
    deeper = (s._replace(repeats=math.ceil(s.repeats * depth)) for s in middle)
    return _network(name, input, (first, *deeper, last), lite_layer)


def inverted_residuals(c_in: int, stages: Sequence[Stage], layer: MakeLayer) -> tuple[Block, ...]:
    """Describe the blocks of all stages, of which the first one takes `c_in` channels."""
    blocks: list[Block] = []
    for repeats, k, first_stride, expansion, c_out in stages:
        for i in range(repeats):
            stride = first_stride if i == 0 else 1
            name = f"blocks.{len(blocks)}"
            c = c_in * expansion
            expand = (layer(f"{name}.expand", c_in, c, 1, 1, 1, activation="relu6"),)
            rest = (
                layer(f"{name}.depthwise", c, c, k, stride, c, activation="relu6"),
                layer(f"{name}.project", c, c_out, 1, 1, 1, activation="none"),
            )
            # Without expansion the inner channels are those of the input.
            inner = ("expand.conv", "depthwise.conv", "project.conv") if expansion != 1 else ()
            info = BlockInfo(c_in, c_out, stride, stride == 1 and c_in == c_out, inner)
            blocks.append(Block(expand + rest if expansion != 1 else rest, None, "none", info))
            c_in = c_out
    return tuple(blocks)


def _network(name: str, input: InputInfo, stages: Sequence[Stage], layer: MakeLayer) -> Network:
    blocks = inverted_residuals(STEM_CHANNELS, stages, layer)
    return Network(
        info=BackboneInfo(name, input, FEATURES, tuple(block.info for block in blocks), weights=""),
        stem=layer("stem", 3, STEM_CHANNELS, 3, 2, 1, activation="relu6"),
        stem_pool=False,
        blocks=blocks,
        tail=layer("tail.0", stages[-1].channels, FEATURES, 1, 1, 1, activation="relu6"),
    )


def _round_channels(channels: float) -> int:
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
