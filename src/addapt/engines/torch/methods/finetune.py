"""Fine-tuning: a copy of the whole backbone is trained."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import Self

from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.methods.base import AdaptedModel, Adaptor, Method, Recipe


class TunedCopy(Adaptor):
    """A trainable copy of the backbone: the shared one stays as it is.

    Args:
        backbone: what is copied.
        frozen_statistics: batch norms go on with the backbone's statistics, which are then no
            part of the domain; by default they learn their own.
    """

    def __init__(self, backbone: Backbone, *, frozen_statistics: bool = False) -> None:
        super().__init__()
        plain = backbone.plain_copy()
        # The parts, not the Backbone itself, which would stay in evaluation mode.
        self.layers = nn.Sequential(plain.stem, *plain.blocks, plain.tail)
        self.layers.requires_grad_(True)
        norms = [layer for layer in self.layers.modules() if isinstance(layer, nn.BatchNorm2d)]
        self.frozen_norms = norms if frozen_statistics else []
        for norm in self.frozen_norms:
            for name, statistic in list(norm.named_buffers(recurse=False)):
                norm.register_buffer(name, statistic, persistent=False)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; batch norms with frozen statistics stay in evaluation mode."""
        super().train(mode)
        for norm in self.frozen_norms:
            norm.eval()
        return self

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

    One domain costs a whole backbone.

    *Memory:* backward keeps the input of every layer.
    """

    name: ClassVar[str] = "finetune"
    summary: ClassVar[str] = "a trained copy of the whole backbone, batch norms included"
    why_kept: ClassVar[str] = "Every weight is trained, so the input of every layer must be kept."
    batch_statistics: ClassVar[bool] = True
    plain: ClassVar[bool] = True
    recipe: ClassVar[Recipe] = Recipe(lr=1e-3, epochs=10, backbone_lr=1e-3)

    def attach(self, backbone: Backbone, classes: int) -> AdaptedModel:
        """Make a model that trains a copy of the backbone."""
        return AdaptedModel(backbone, TunedCopy(backbone), classes)


@dataclass(frozen=True)
class FinetuneFrozenBn(Method):
    """Train every weight of a copy of the backbone; batch norms keep the backbone's statistics.

    Their scale and shift are trained. Nothing depends on the other images of a batch, so
    micro-batches give the gradient of the whole batch.

    *Memory:* backward keeps the input of every layer, of one micro-batch.
    """

    name: ClassVar[str] = "finetune_frozen_bn"
    summary: ClassVar[str] = "a trained copy of the whole backbone, batch statistics frozen"
    why_kept: ClassVar[str] = Finetune.why_kept
    plain: ClassVar[bool] = True
    recipe: ClassVar[Recipe] = Recipe(lr=1e-3, epochs=10, micro_batch=8, backbone_lr=1e-3)

    def attach(self, backbone: Backbone, classes: int) -> AdaptedModel:
        """Make a model that trains a copy of the backbone."""
        return AdaptedModel(backbone, TunedCopy(backbone, frozen_statistics=True), classes)
