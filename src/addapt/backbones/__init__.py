"""What is known of the frozen networks without building one: names, inputs, published weights."""

from addapt.backbones.catalogue import (
    BACKBONES,
    IMAGENET_INPUT,
    TIMM,
    BackboneEntry,
    backbone_entry,
    check_backbone,
    is_named,
)
from addapt.backbones.info import BackboneInfo, BlockInfo, InputInfo
from addapt.backbones.networks import Block, ConvLayer, Network, network
from addapt.backbones.pretrained import PretrainedPackage, weights_file

__all__ = [
    "BACKBONES",
    "IMAGENET_INPUT",
    "BackboneEntry",
    "BackboneInfo",
    "BlockInfo",
    "Block",
    "ConvLayer",
    "InputInfo",
    "Network",
    "PretrainedPackage",
    "TIMM",
    "backbone_entry",
    "check_backbone",
    "is_named",
    "network",
    "weights_file",
]
