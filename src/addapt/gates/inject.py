"""A loss of its own for a part of a network, whatever loss the whole is trained with."""

from typing import Any, cast

import torch
from torch import Tensor

from addapt.ops.differentiate import only_once


def with_loss(x: Tensor, loss: Tensor) -> Tensor:
    """Return `x`; backward through it also computes the gradient of the scalar `loss`, unscaled.

    So a training loop need not know that there is another loss. Without a gradient to follow,
    `x` is returned as it is.

    *Memory:* nothing.
    """
    if torch.is_grad_enabled() and x.requires_grad and loss.requires_grad:
        return cast(Tensor, _WithLoss.apply(x, loss))  # type: ignore[no-untyped-call]
    return x


class _WithLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, loss: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    @only_once
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        return grad, grad.new_ones(())
