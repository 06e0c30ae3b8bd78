"""Frozen feature networks, by name."""

from addapt.backbones.base import Backbone, BackboneInfo, BlockInfo, InputInfo, weights_sha256
from addapt.backbones.registry import BACKBONES, BackboneEntry, load_backbone, load_classifier

__all__ = [
    "BACKBONES",
    "Backbone",
    "BackboneEntry",
    "BackboneInfo",
    "BlockInfo",
    "InputInfo",
    "load_backbone",
    "load_classifier",
    "weights_sha256",
]
