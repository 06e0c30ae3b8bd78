"""A frozen batch norm that stands alone: scale and shift of channels, and an activation."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from addapt.engines.torch.ops.activation import Activation, activate, activation_bits
from addapt.engines.torch.ops.bits import pass_where
from addapt.engines.torch.ops.differentiate import asks_for_gradient, is_nobody_elses, only_once


def channel_affine(
    x: Float[Tensor, "n c ..."],
    scale: Float[Tensor, " c"],
    shift: Float[Tensor, " c"],
    activation: Activation = "none",
) -> Float[Tensor, "n c ..."]:
    """Return activation(x * scale + shift), channel by channel.

    Args:
        x: any number of dimensions, channels in the second.
        scale: frozen; its gradient would need `x`.
        shift: may be trained.
        activation: applied to the sum.

    Raises:
        ValueError: `scale` asks for a gradient.

    *Memory:* ceil(count / 8) bytes for the activation, nothing without one; `scale` is a weight.
    """
    if torch.is_grad_enabled() and scale.requires_grad:
        raise ValueError(
            "channel_affine keeps no input, so its scale cannot be trained: detach the scale, "
            "or use channel_affine_reference."
        )
    if asks_for_gradient(x, shift):
        y: Tensor = _ChannelAffine.apply(x, scale, shift, activation)  # type: ignore[no-untyped-call]
        return y
    return _affine(x, scale, shift, activation)


def channel_affine_reference(
    x: Float[Tensor, "n c ..."],
    scale: Float[Tensor, " c"],
    shift: Float[Tensor, " c"],
    activation: Activation = "none",
) -> Float[Tensor, "n c ..."]:
    """Compute what `channel_affine` does with plain torch."""
    return activate(x * _by_channel(scale, x) + _by_channel(shift, x), activation)


def _by_channel(values: Tensor, x: Tensor) -> Tensor:
    return values.view(-1, *[1] * (x.dim() - 2))


def _affine(x: Tensor, scale: Tensor, shift: Tensor, activation: Activation) -> Tensor:
    y = torch.addcmul(_by_channel(shift, x), x, _by_channel(scale, x))
    return activate(y, activation, inplace=True)


class _ChannelAffine(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, scale: Tensor, shift: Tensor, activation: Activation
    ) -> Tensor:
        y = _affine(x, scale, shift, activation)
        ctx.activation = activation
        ctx.channels_last = y.is_contiguous(memory_format=torch.channels_last)
        ctx.save_for_backward(scale, activation_bits(y, activation))
        return y

    @staticmethod
    @only_once
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None, Tensor | None, None]:
        in_place = is_nobody_elses(grad)
        scale, bits = ctx.saved_tensors
        fresh = ctx.activation != "none"
        if fresh:
            grad = pass_where(bits, grad, ctx.channels_last, in_place=in_place)
        grad_shift = grad.sum([d for d in range(grad.dim()) if d != 1])
        if not ctx.needs_input_grad[0]:
            return None, None, grad_shift, None
        scale = _by_channel(scale, grad)
        return grad.mul_(scale) if fresh else grad * scale, None, grad_shift, None
