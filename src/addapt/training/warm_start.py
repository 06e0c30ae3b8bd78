"""The head's start: a linear classifier fitted to the frozen features in a second.

Adapting features under a head that already fits them changes them less than a random
head would (Kumar et al., Fine-Tuning can Distort Pretrained Features, ICLR 2022).
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

PENALTY = 1e-3
ITERATIONS = 100


def fit_head(
    head: nn.Linear,
    features: Float[Tensor, "n f"],
    labels: Int[Tensor, " n"],
    label_smoothing: float = 0.0,
) -> None:
    """Set `head` to the L2-penalised logistic regression of `labels` on `features`.

    Features are standardised for the fit, which L-BFGS solves from zero; the
    standardisation is then folded into the head.
    """
    mean, std = features.mean(0), features.std(0, correction=0) + 1e-3
    x = (features - mean) / std
    w = torch.zeros_like(head.weight, requires_grad=True)
    bias = torch.zeros_like(head.bias, requires_grad=True)
    solver = torch.optim.LBFGS([w, bias], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def loss_and_gradient() -> Tensor:
        solver.zero_grad()
        loss = F.cross_entropy(F.linear(x, w, bias), labels, label_smoothing=label_smoothing)
        loss = loss + PENALTY * w.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    solver.step(loss_and_gradient)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        head.weight.copy_(w / std)
        head.bias.copy_(bias - head.weight @ mean)
