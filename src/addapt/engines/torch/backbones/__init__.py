"""Frozen feature networks, by name."""

from addapt.engines.torch.backbones.base import Backbone, weights_sha256
from addapt.engines.torch.backbones.registry import load_backbone, load_classifier

__all__ = ["Backbone", "load_backbone", "load_classifier", "weights_sha256"]
