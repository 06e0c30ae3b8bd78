"""The rivals: training as users of plain PyTorch do it today."""

from collections.abc import Iterator

from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from addapt.bench.contender import BIAS_CHECKPOINTING
from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.methods import AdaptedModel, Adaptor, attach
from addapt.engines.torch.methods.finetune import TunedCopy
from addapt.methods import Bias, build_method


class UnfrozenBiases(Adaptor):
    """The backbone's own batch-norm biases, made trainable where they are.

    Args:
        backbone: plain; its biases change, so it must not be shared.
        checkpointing: keep only each block's input, and compute the block again in backward.
    """

    def __init__(self, backbone: Backbone, *, checkpointing: bool) -> None:
        super().__init__()
        norms = (layer for layer in backbone.modules() if isinstance(layer, nn.BatchNorm2d))
        self.biases = nn.ParameterList(norm.bias for norm in norms).requires_grad_(True)
        self.checkpointing = checkpointing

    def forward(self, backbone: Backbone, x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n f"]:
        """Compute the backbone's features."""
        x = backbone.stem(x)
        for block in backbone.blocks:
            x = checkpoint(block, x, use_reentrant=False) if self.checkpointing else block(x)
        features: Tensor = backbone.tail(x)
        return features

    def pretrained_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the biases."""
        return self.parameters()


def attach_eager(backbone: Backbone, method: str, classes: int) -> AdaptedModel:
    """Make the model of a method as plain PyTorch has it, without a second copy of any weight.

    Args:
        backbone: plain, and used by nothing else.
        method: "bias", `BIAS_CHECKPOINTING`, or one of the product's methods that are plain.
        classes: the width of the logits.
    """
    if method in (Bias.name, BIAS_CHECKPOINTING):
        adaptor = UnfrozenBiases(backbone, checkpointing=method == BIAS_CHECKPOINTING)
        return AdaptedModel(backbone, adaptor, classes)
    model = attach(backbone, build_method(method), classes)
    if isinstance(model.adaptor, TunedCopy):
        # The product keeps the shared backbone beside the copy; who only fine-tunes has one.
        shared = nn.Sequential(backbone.stem, *backbone.blocks, backbone.tail)
        tuned = model.adaptor.layers
        for own, copy in zip(shared.parameters(), tuned.parameters(), strict=True):
            own.data = copy.data
    return model
