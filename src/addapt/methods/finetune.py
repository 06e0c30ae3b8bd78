"""Fine-tuning: a copy of the whole backbone is trained, batch norms included."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from addapt.backbones import Backbone
from addapt.methods.base import AdaptedModel, Adaptor, Method, Recipe


class TunedCopy(Adaptor):
    """A trainable copy of the backbone: the shared one stays as it is."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        plain = backbone.plain_copy()
        # The parts, not the Backbone itself, which would stay in evaluation mode.
        self.layers = nn.Sequential(plain.stem, *plain.blocks, plain.tail)
        self.layers.requires_grad_(True)

    def forward(self, backbone: Backbone, x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n f"]:
        """Compute the features of the copy; the shared backbone is not used."""
        features: Tensor = self.layers(x)
        return features

    def pretrained_parameters(self) -> Iterator[nn.Parameter]:
        """Yield all parameters: each started from the backbone's."""
        return self.layers.parameters()


@dataclass(frozen=True)
class Finetune(Method):
    """Train every weight of a copy of the backbone, with batch statistics.

    One domain costs a whole backbone, and backward keeps the input of every layer.
    """

    name: ClassVar[str] = "finetune"
    summary: ClassVar[str] = "a trained copy of the whole backbone, batch norms included"
    batch_statistics: ClassVar[bool] = True
    recipe: ClassVar[Recipe] = Recipe(lr=1e-3, epochs=10, backbone_lr=3e-4)

    def attach(self, backbone: Backbone, classes: int) -> AdaptedModel:
        """Make a model that trains a copy of the backbone."""
        return AdaptedModel(backbone, TunedCopy(backbone), classes)
