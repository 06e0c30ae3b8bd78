"""Backbones of real blocks, small enough to run in no time."""

import torch
from torch import nn

from addapt.backbones import IMAGENET_INPUT, BackboneInfo, InputInfo, Network
from addapt.backbones.inverted_residuals import Stage, inverted_residuals, mobilenet_layer
from addapt.backbones.random_weights import random_weights
from addapt.backbones.resnets import resnet
from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.backbones.registry import build_backbone, fill

STAGES = (Stage(1, 3, 1, 1, 8), Stage(2, 3, 2, 4, 8), Stage(2, 3, 1, 4, 8))


KINDS = ("inverted", "bottleneck", "basic")


def small_backbone(kind: str = "inverted", seed: int = 0) -> Backbone:
    """Build a lean backbone of inverted residuals, of bottlenecks, or of basic blocks."""
    plain = plain_small_backbone(kind, seed)
    lean = plain.lean()
    lean.load_plain = lambda: plain
    return lean


def plain_small_backbone(kind: str, seed: int = 0) -> Backbone:
    described = _described(kind)
    backbone = build_backbone(described)
    fill(backbone, random_weights(described, seed))
    drawn = 2 * sum(layer.weight_size for layer in described.layers())
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        torch.empty(drawn).uniform_()  # batch norms come after the weights
        for layer in backbone.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.uniform_(0.5, 1.5)
                layer.bias.uniform_(-0.5, 0.5)
    return backbone


def _described(kind: str) -> Network:
    if kind != "inverted":
        return resnet(kind, IMAGENET_INPUT, kind, (2, 2))  # type: ignore[arg-type]
    blocks = inverted_residuals(8, STAGES, mobilenet_layer)
    infos = tuple(block.info for block in blocks)
    info = BackboneInfo("small", InputInfo(64, (0.5,) * 3, (0.5,) * 3, "bicubic"), 8, infos)
    stem = mobilenet_layer("stem", 3, 8, 3, 2, 1, activation="relu6")
    return Network(info, stem, stem_pool=False, blocks=blocks, tail=None)
