"""Convolution with a frozen weight of which a trained mask leaves some elements out."""

from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from addapt.engines.torch.ops.activation import activate, activation_bits
from addapt.engines.torch.ops.bits import pass_where
from addapt.engines.torch.ops.conv import ConvGeometry, add_residual
from addapt.engines.torch.ops.differentiate import (
    asks_for_gradient,
    is_nobody_elses,
    only_once,
    only_plain_serves,
)


def masked_conv2d(
    x: Float[Tensor, "n c_in h w"],
    weight: Float[Tensor, "c_out c_in/groups kh kw"],
    mask: Float[Tensor, "c_out c_in/groups kh kw"],
    bias: Float[Tensor, " c_out"] | None,
    residual: Float[Tensor, "n c_out h2 w2"] | None,
    geometry: ConvGeometry,
    threshold: float,
) -> Float[Tensor, "n c_out h2 w2"]:
    """Compute activation((weight where mask > threshold, else 0) * x + bias + residual).

    The mask's gradient is straight through: that of a factor of the weight, as if no threshold
    stood between.

    `mask` has a real number for each element of the weight. The rest is as in `frozen_conv2d`.

    *Memory:* x, that is 4 n c_in h w bytes, and ceil(n c_out h2 w2 / 8) with a ReLU or ReLU6. The
    masked weight is made anew in backward; mask and weight are there anyhow.

    *Source:* Mallya et al., Piggyback, ECCV 2018, which keeps the masked weight.
    """
    asking = (x, mask, bias, residual)
    if asks_for_gradient(*asking):
        args = (x, weight, mask, bias, residual, geometry, threshold)
        return cast(Tensor, _MaskedConv2d.apply(*args))  # type: ignore[no-untyped-call]
    if only_plain_serves():  # the mask's gradient is not that of a comparison
        return masked_conv2d_reference(x, weight, mask, bias, residual, geometry, threshold)
    return _forward(x, masked(weight, mask, threshold), bias, residual, geometry)


def masked_conv2d_reference(
    x: Float[Tensor, "n c_in h w"],
    weight: Float[Tensor, "c_out c_in/groups kh kw"],
    mask: Float[Tensor, "c_out c_in/groups kh kw"],
    bias: Float[Tensor, " c_out"] | None,
    residual: Float[Tensor, "n c_out h2 w2"] | None,
    geometry: ConvGeometry,
    threshold: float,
) -> Float[Tensor, "n c_out h2 w2"]:
    """Compute the same in plain PyTorch."""
    straight_through = (mask > threshold).to(mask.dtype) + (mask - mask.detach())
    y = F.conv2d(x, weight * straight_through, bias, *geometry[:4])
    return activate(y if residual is None else y + residual, geometry.activation)


def masked(
    weight: Float[Tensor, "..."], mask: Float[Tensor, "..."], threshold: float
) -> Float[Tensor, "..."]:
    """Return the weight with zeros where the mask does not exceed the threshold."""
    return weight * (mask > threshold)


class _MaskedConv2d(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        mask: Tensor,
        bias: Tensor | None,
        residual: Tensor | None,
        geometry: ConvGeometry,
        threshold: float,
    ) -> Tensor:
        if not x.is_contiguous(memory_format=torch.channels_last):
            x = x.contiguous()  # a part of a larger map would keep all of it
        y = _forward(x, masked(weight, mask, threshold), bias, residual, geometry)
        ctx.channels_last = y.is_contiguous(memory_format=torch.channels_last)
        bits = None if geometry.activation == "none" else activation_bits(y, geometry.activation)
        # The mask's gradient needs x; without one, nothing does.
        ctx.save_for_backward(bits, x if ctx.needs_input_grad[2] else None, weight, mask)
        ctx.geometry, ctx.threshold, ctx.input_shape = geometry, threshold, x.shape
        return y

    @staticmethod
    @only_once
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        in_place = is_nobody_elses(grad)
        bits, x, weight, mask = ctx.saved_tensors
        wants_x, _, wants_mask, wants_bias, wants_residual, _, _ = ctx.needs_input_grad
        if bits is not None:
            grad = pass_where(bits, grad, ctx.channels_last, in_place=in_place)
        grad_bias = grad.sum((0, 2, 3)) if wants_bias else None
        grad_residual = grad if wants_residual else None
        stride, padding, dilation, groups, _ = ctx.geometry
        grad_x, grad_mask, _ = torch.ops.aten.convolution_backward(
            grad,
            grad.new_empty(1).expand(ctx.input_shape) if x is None else x.to(grad.dtype),
            masked(weight, mask, ctx.threshold).to(grad.dtype),  # autocast may have changed it
            *(None, stride, padding, dilation, False, (0, 0), groups),
            (wants_x, wants_mask, False),
        )
        if wants_mask:
            grad_mask = grad_mask.mul_(weight)
        return grad_x, None, grad_mask, grad_bias, grad_residual, None, None


def _forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    residual: Tensor | None,
    geometry: ConvGeometry,
) -> Tensor:
    y = F.conv2d(x, weight, bias, *geometry[:4])
    y = y if residual is None else add_residual(y, residual)
    return activate(y, geometry.activation, inplace=True)
