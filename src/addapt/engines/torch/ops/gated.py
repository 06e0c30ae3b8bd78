"""A map times a gate, as squeeze-and-excitation has it: what the gate's gradient needs of the map.

That gradient is the sum of gradient times map, so that the map must be kept: as what it was
computed from, where that is kept anyhow, or rounded.
"""

from typing import Any, cast

import torch
from jaxtyping import Float, Int8
from torch import Tensor

from addapt.engines.torch.ops.activation import Smooth, smooth
from addapt.engines.torch.ops.differentiate import asks_for_gradient, only_once

Source = tuple[Tensor, Smooth]  # what a map was computed from, and by which activation
CODES = 127


def gated(
    x: Float[Tensor, "*n c h w"] | float,
    gate: Float[Tensor, "*n c 1 1"] | float,
    of_x: Source | None = None,
    of_gate: Source | None = None,
) -> Float[Tensor, "*n c h w"]:
    """Return x * gate, the factors in any order.

    Args:
        x: the map, or the gate. A graph does not tell tensors from numbers, which may be either.
        gate: the gate, of any shape that is spread over the map's, or the map.
        of_x: from which activation's input the first factor was computed, which is computed again
            in backward.
        of_gate: likewise of the second.

    *Memory:* the gate, and the activation's input, which its own backward keeps, too; without it,
    or where both factors have the same shape, both factors.
    """
    if not isinstance(x, Tensor) or not isinstance(gate, Tensor):
        return cast(Tensor, x * gate)
    if not _in_order(x, gate):
        x, gate, of_x = gate, x, of_gate
    asks = asks_for_gradient(x, gate)
    if of_x is None or not asks or not _gates(gate, x) or of_x[0].shape != x.shape:
        return x * gate
    source, name = of_x
    return cast(Tensor, _Gated.apply(x, gate, source.detach(), name))  # type: ignore[no-untyped-call]


def gated_8bit(
    x: Float[Tensor, "*n c h w"] | float, gate: Float[Tensor, "*n c 1 1"] | float
) -> Float[Tensor, "*n c h w"]:
    """Return x * gate exactly, the factors in any order, but keep maps rounded to 8 bits.

    Each map of a channel has steps of a 127th of its largest magnitude, so that the gradient of
    its gate is wrong by a 254th of it, times the sum of the magnitudes of the map's gradient, at
    most, and mostly by far less. The map's own gradient is exact. Where both factors are maps of
    the same shape, both are rounded, and each one's gradient is wrong by a 254th likewise.

    *Memory:* n c (h w + 4) bytes and the gate, or, for two maps, twice n c (h w + 4) bytes.
    """
    if not isinstance(x, Tensor) or not isinstance(gate, Tensor):
        return cast(Tensor, x * gate)
    if not _in_order(x, gate):
        x, gate = gate, x
    asks = asks_for_gradient(x, gate)
    if not asks or not (_gates(gate, x) or _are_two_maps(gate, x)):
        return x * gate
    return cast(Tensor, _Gated8Bit.apply(x, gate))  # type: ignore[no-untyped-call]


def gated_reference(
    x: Float[Tensor, "*n c h w"], gate: Float[Tensor, "*n c 1 1"]
) -> Float[Tensor, "*n c h w"]:
    """Compute the same with plain torch."""
    return x * gate


def _in_order(first: Tensor, second: Tensor) -> bool:
    """Say whether the first factor is the map: the larger one, or the one that is not spread."""
    if first.numel() != second.numel():
        return first.numel() > second.numel()
    return not _is_spread(first)


def _is_spread(x: Tensor) -> bool:
    """Say whether a tensor repeats its numbers, as `expand` lets it."""
    return any(stride == 0 and size > 1 for stride, size in zip(x.stride(), x.shape, strict=True))


def _gates(gate: Tensor, x: Tensor) -> bool:
    """Say whether a gate has one number for several places of a map with channels."""
    if x.dim() < 4 or gate.dtype != x.dtype:
        return False
    smaller = gate.numel() < x.numel() or (_is_spread(gate) and not _is_spread(x))
    return smaller and gate.dim() <= x.dim() and _fits(gate.shape, x.shape)


def _are_two_maps(gate: Tensor, x: Tensor) -> bool:
    """Say whether both factors are maps of the same shape."""
    alike = gate.shape == x.shape and gate.dtype == x.dtype and x.dim() >= 4
    return alike and not _is_spread(gate) and not _is_spread(x)


def _fits(gate: torch.Size, x: torch.Size) -> bool:
    sides = zip(reversed(gate), reversed(x), strict=False)
    return all(of_gate in (1, of_x) for of_gate, of_x in sides)


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gate: Tensor, source: Tensor, name: Smooth) -> Tensor:
        ctx.name = name
        ctx.save_for_backward(gate, source)
        return x * gate

    @staticmethod
    @only_once
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        gate, source = ctx.saved_tensors
        wants_x, wants_gate, _, _ = ctx.needs_input_grad
        grad_gate = (grad * smooth(source, ctx.name)).sum_to_size(gate.shape)
        return grad * gate if wants_x else None, grad_gate if wants_gate else None, None, None


class _Gated8Bit(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gate: Tensor) -> Tensor:
        kept = _round(gate) if _are_two_maps(gate, x) else (gate,)
        ctx.save_for_backward(*_round(x), *kept)
        return x * gate

    @staticmethod
    @only_once
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        codes, step, *kept = ctx.saved_tensors
        wants_x, wants_gate = ctx.needs_input_grad
        grad_x = grad_gate = None
        if wants_gate:
            shape = kept[0].shape
            grad_gate = (grad * codes).mul_(step).sum_to_size(shape)
        if wants_x:
            grad_x = grad * kept[0]
            grad_x = grad_x.mul_(kept[1]) if len(kept) > 1 else grad_x
        return grad_x, grad_gate


def _round(x: Tensor) -> tuple[Int8[Tensor, "*n c h w"], Float[Tensor, "*n c 1 1"]]:
    """Return codes, and what they count in each channel; not a number where a map has one."""
    largest = x.abs().amax((-2, -1), keepdim=True) if x.numel() else x.new_ones(1)
    step = (largest / CODES).clamp_(min=torch.finfo(x.dtype).tiny)
    return (x / step).round_().clamp_(-CODES, CODES).to(torch.int8), step
