"""Head only: a linear classifier on frozen features."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.methods.base import AdaptedModel, Adaptor, Method, Recipe
from addapt.engines.torch.methods.few_at_once import few_at_once


class NoAdaptor(Adaptor):
    """The frozen features as they are."""

    def forward(self, backbone: Backbone, x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n f"]:
        """Compute the backbone's features; backward ends here and keeps nothing."""
        if self.training and torch.is_grad_enabled():
            return few_at_once(backbone, x)
        with torch.no_grad():
            features: Tensor = backbone(x)
        return features


@dataclass(frozen=True)
class Head(Method):
    """Train a linear classifier on the frozen features, nothing else.

    *Memory:* the features, 4 n f bytes, and the logits. In training few images at once go through
    the backbone, as none of its maps is needed later.
    """

    name: ClassVar[str] = "head"
    summary: ClassVar[str] = "a linear classifier on the frozen features"
    why_kept: ClassVar[str] = "Nothing before the head is trained, so only its input is kept."
    recipe: ClassVar[Recipe] = Recipe(lr=3e-3, epochs=10)

    def attach(self, backbone: Backbone, classes: int) -> AdaptedModel:
        """Make a model of the backbone and a classifier."""
        return AdaptedModel(backbone, NoAdaptor(), classes)
