"""Gradients of a batch that is computed in parts."""

import torch
import torch.nn.functional as F
from torch import Tensor

from addapt.engines.torch.methods import AdaptedModel


def gradients(model: AdaptedModel, x: Tensor, labels: Tensor, micro_batch: int) -> list[Tensor]:
    """Return the gradients of the mean loss, added up over parts of `micro_batch` images."""
    model.zero_grad()
    for part in torch.arange(len(x)).reshape(-1, micro_batch):
        loss = F.cross_entropy(model(x[part]), labels[part], reduction="sum") / len(x)
        loss.backward()  # type: ignore[no-untyped-call]
    return [p.grad for p in model.domain_parameters() if p.grad is not None]
