"""Gates that decide for each image, fitted by least squares to what widths lose."""

import torch
from jaxtyping import Float
from torch import Tensor

from addapt.engines.torch.gates.block_gate import SMALLEST_LOSS, BlockGate

# Ridge penalties to choose from, as shares of the features' variance; the last leaves the mean.
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 1e3)


@torch.no_grad()
def fit_gate(gate: BlockGate, features: Float[Tensor, "n k"], losses: Float[Tensor, "n w"]) -> None:
    """Have a gate predict the logarithms of the losses from the features, as well as it can.

    Ridge regression, with the penalty of the least error by generalised cross-validation: from
    features that say nothing the prediction is the mean.

    Args:
        gate: to be set.
        features: means of the adaptor's hidden features on some images.
        losses: of each width but the whole block's on these.

    Source: Golub, Heath, Wahba, Generalized Cross-Validation as a Method for Choosing a Good Ridge
    Parameter, Technometrics 1979.
    """
    x = features.double()
    y = losses.double().clamp_min(SMALLEST_LOSS).log()
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
    gate.weight.copy_(slopes.t())
    gate.bias.copy_(y_mean - x_mean @ slopes)
