"""Activations made of straight lines with two slopes: one bit an element tells which."""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from addapt.engines.torch.ops.bits import in_memory_order, pack_bits, unpack_bits
from addapt.engines.torch.ops.differentiate import asks_for_gradient, only_once

SIXTH = 0.1666666716337204  # as PyTorch has it: that of a float32, for all types


def leaky_relu(x: Float[Tensor, "..."], slope: float = 0.01) -> Float[Tensor, "..."]:
    """Return x where it is above 0, and slope * x elsewhere.

    *Memory:* ceil(count / 8) bytes.
    """
    return _run(x, _Lines(lambda x: F.leaky_relu(x, slope), lambda x: x > 0, 1.0, slope))


def prelu(x: Float[Tensor, "n c ..."], slopes: Float[Tensor, " c"]) -> Float[Tensor, "n c ..."]:
    """Return x where it is above 0, and slopes * x elsewhere; one slope a channel, or one for all.

    Raises:
        ValueError: `slopes` ask for a gradient.

    *Memory:* ceil(count / 8) bytes; `slopes` are a weight.
    """
    if torch.is_grad_enabled() and slopes.requires_grad:
        raise ValueError(
            "prelu keeps no input, so its slopes cannot be trained: detach them, or use "
            "torch.nn.functional.prelu."
        )
    return _run(x, _Lines(lambda x: F.prelu(x, slopes), lambda x: x > 0, 1.0, 0.0), slopes)


def hardtanh(x: Float[Tensor, "..."], low: float = -1.0, high: float = 1.0) -> Float[Tensor, "..."]:
    """Return min(max(x, low), high).

    *Memory:* ceil(count / 8) bytes.
    """

    def inside(x: Tensor) -> Tensor:
        return ((x <= low) | (x >= high)).logical_not_()  # NaN passes the gradient

    return _run(x, _Lines(lambda x: F.hardtanh(x, low, high), inside, 1.0, 0.0))


def hardsigmoid(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Return min(max(x / 6 + 1 / 2, 0), 1).

    *Memory:* ceil(count / 8) bytes.
    """
    return _run(x, _Lines(F.hardsigmoid, lambda x: (x > -3) & (x < 3), SIXTH, 0.0))


class _Lines(NamedTuple):
    """An activation: its value, where its slope is `inner`, and the slope elsewhere."""

    value: Callable[[Tensor], Tensor]
    inside: Callable[[Tensor], Tensor]
    inner: float
    outer: float


def _run(x: Tensor, lines: _Lines, slopes: Tensor | None = None) -> Tensor:
    """Apply an activation; `slopes` by channel take the place of the outer one."""
    if asks_for_gradient(x):
        return cast(Tensor, _TwoSlopes.apply(x, lines, slopes))  # type: ignore[no-untyped-call]
    return lines.value(x)


class _TwoSlopes(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, lines: _Lines, slopes: Tensor | None) -> Tensor:
        inside = lines.inside(x)
        ctx.inner, ctx.outer = lines.inner, lines.outer
        ctx.channels_last = inside.is_contiguous(memory_format=torch.channels_last)
        ctx.save_for_backward(pack_bits(in_memory_order(inside)), slopes)
        return lines.value(x)

    @staticmethod
    @only_once
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        bits, slopes = ctx.saved_tensors
        inside = unpack_bits(bits, grad.numel(), torch.bool)
        if ctx.channels_last:
            n, c, h, w = grad.shape
            inside = inside.view(n, h, w, c).permute(0, 3, 1, 2)
        else:
            inside = inside.view(grad.shape)
        steep = grad if ctx.inner == 1 else grad * ctx.inner
        if slopes is not None:
            by_channel = slopes.view(-1, *[1] * (grad.dim() - 2)) if len(slopes) > 1 else slopes
            return torch.where(inside, steep, grad * by_channel.to(grad.dtype)), None, None
        flat: Tensor | float = grad * ctx.outer if ctx.outer else 0.0
        return torch.where(inside, steep, flat), None, None
