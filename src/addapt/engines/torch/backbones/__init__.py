"""Frozen feature networks, by name."""

from addapt.engines.torch.backbones.base import (
    Backbone,
    BackboneInfo,
    BlockInfo,
    InputInfo,
    weights_sha256,
)
from addapt.engines.torch.backbones.registry import (
    BACKBONES,
    BackboneEntry,
    load_backbone,
    load_classifier,
)

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
