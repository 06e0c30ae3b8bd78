"""The gate of one block: whether an image needs it."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from addapt.backbones import BlockInfo
from addapt.gates import GateConfig

SMALLEST_LOSS, LARGEST_LOSS = 1e-6, 10.0  # others are errors of a gate's prediction
# Ridge penalties to choose from, as shares of the features' variance; the last leaves the mean.
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 1e3)


class BlockGate(nn.Module):
    """Opens or closes one block; closed it is its shortcut, and without one it is always open.

    Closing loses how far the shortcut is from the block's output, the squared distance as a share
    of the squared length; an open block costs a share of the whole network's multiply-adds. It is
    closed for an image if `loss < price * cost`. In the static form, and beside blocks without an
    adaptor, the loss is the domain's mean, and so the same for all; else a linear layer predicts
    its logarithm for each image from the means of the adaptor's hidden features. It is fitted, not
    trained.

    Args:
        info: of the block.
        config: what is asked for.
        hidden: hidden features of the block's adaptor; 0 without one.
    """

    costs: Tensor
    losses: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, info: BlockInfo, config: GateConfig, hidden: int) -> None:
        super().__init__()
        self.can_close = info.identity_shortcut
        self.dynamic = config.dynamic and hidden > 0 and self.can_close
        choices = 2 if self.can_close else 1  # closed, where that can be, and open
        self.register_buffer("costs", torch.zeros(choices))
        self.register_buffer("losses", torch.zeros(choices))
        if self.dynamic:
            self.register_buffer("weight", torch.zeros(1, hidden))
            self.register_buffer("bias", torch.zeros(1))

    @property
    def cost(self) -> Float[Tensor, ""]:
        """What the open block costs."""
        return self.costs[-1]

    def opens(self, price: float) -> bool:
        """Say whether the block is open for all images alike."""
        return not self.can_close or not bool(self.losses[0] < price * self.cost)

    def opens_for(self, features: Float[Tensor, "n k"], price: float) -> Bool[Tensor, " n"]:
        """Say for which images the block is open, by the means of their hidden features."""
        predicted = torch.addmm(self.bias, features, self.weight.t())[:, 0]
        losses = predicted.exp().clamp(SMALLEST_LOSS, LARGEST_LOSS)
        return ~(losses < price * self.cost)  # open, too, where it is not a number

    @torch.no_grad()
    def fit(self, features: Float[Tensor, "n k"], losses: Float[Tensor, " n"]) -> None:
        """Learn to predict the logarithms of the losses from the features, as well as can be.

        Ridge regression, with the penalty of the least error by generalised cross-validation: from
        features that say nothing the prediction is the mean.

        Source: Golub, Heath, Wahba, Generalized Cross-Validation as a Method for Choosing a Good
        Ridge Parameter, Technometrics 1979.
        """
        x = features.double()
        y = losses.double().clamp_min(SMALLEST_LOSS).log()[:, None]
        x_mean, y_mean = x.mean(0), y.mean(0)
        scale = (x - x_mean).square().mean(0).sqrt().clamp_min(1e-8)
        u, s, vh = torch.linalg.svd((x - x_mean) / scale, full_matrices=False)
        found = u.t() @ (y - y_mean)
        images = len(x)

        def error(penalty: float) -> float:
            kept = s.square() / (s.square() + penalty * images)
            missed = (y - y_mean - u @ (kept[:, None] * found)).square().mean()
            return float(missed / (1 - (1 + kept.sum()) / images).clamp_min(1e-3).square())

        penalty = min(PENALTIES, key=error)
        slopes = vh.t() @ ((s / (s.square() + penalty * images))[:, None] * found) / scale[:, None]
        self.weight.copy_(slopes.t())
        self.bias.copy_(y_mean - x_mean @ slopes)
