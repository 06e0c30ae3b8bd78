"""Fine-tuning: a copy of the whole backbone is trained."""

from collections.abc import Iterator

from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import Self

from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.methods.base import Adaptor
from addapt.methods import Finetune, FinetuneFrozenBn


class TunedCopy(Adaptor):
    """A trainable copy of the backbone: the shared one stays as it is.

    Batch norms learn statistics of their own, or go on with the backbone's, which are then no part
    of the domain.
    """

    def __init__(self, backbone: Backbone, method: Finetune | FinetuneFrozenBn) -> None:
        super().__init__()
        plain = backbone.plain_copy()
        # The parts, not the Backbone itself, which would stay in evaluation mode.
        self.layers = nn.Sequential(plain.stem, *plain.blocks, plain.tail)
        self.layers.requires_grad_(True)
        norms = [layer for layer in self.layers.modules() if isinstance(layer, nn.BatchNorm2d)]
        self.frozen_norms = [] if method.batch_statistics else norms
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
