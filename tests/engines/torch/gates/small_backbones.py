"""Backbones of real blocks, small enough to run in no time."""

import torch
from torch import nn

from addapt.backbones import BackboneInfo, InputInfo
from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.backbones.conv_bn import ConvBn
from addapt.engines.torch.backbones.inverted_residual import Stage, inverted_residuals
from addapt.engines.torch.backbones.resnet import resnet

STAGES = (Stage(1, 3, 1, 1, 8), Stage(2, 3, 2, 4, 8), Stage(2, 3, 1, 4, 8))


KINDS = ("inverted", "bottleneck", "basic")


def small_backbone(kind: str = "inverted", seed: int = 0) -> Backbone:
    """Build a lean backbone of inverted residuals, of bottlenecks, or of basic blocks."""
    plain = plain_small_backbone(kind, seed)
    lean = plain.lean()
    lean.load_plain = lambda: plain
    return lean


def plain_small_backbone(kind: str, seed: int = 0) -> Backbone:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        backbone = _inverted() if kind == "inverted" else resnet(kind, kind, (2, 2))  # type: ignore[arg-type]
        for layer in backbone.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.uniform_(0.5, 1.5)
                layer.bias.uniform_(-0.5, 0.5)
    return backbone


def _inverted() -> Backbone:
    blocks, infos = inverted_residuals(8, STAGES, _conv_bn)
    info = BackboneInfo("small", InputInfo(64, (0.5,) * 3, (0.5,) * 3, "bicubic"), 8, infos)
    tail = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Backbone(_conv_bn(3, 8, 3, 2, 1, True), blocks, tail, info)


def _conv_bn(c_in: int, c_out: int, k: int, stride: int, groups: int, activation: bool) -> ConvBn:
    conv = nn.Conv2d(c_in, c_out, k, stride, k // 2, groups=groups, bias=False)
    return ConvBn(conv, nn.ReLU6(inplace=True) if activation else None)
