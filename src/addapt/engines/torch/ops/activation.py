"""Activations that keep 1 bit an element (ReLU, ReLU6) or, where asked, 8 (smooth ones)."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from addapt.engines.torch.ops.bits import in_memory_order, pack_bits, pass_where
from addapt.engines.torch.ops.differentiate import asks_for_gradient, is_nobody_elses, only_once

Activation = Literal["none", "relu", "relu6"]
Smooth = Literal[
    "elu",
    "gelu",
    "gelu_tanh",
    "hardswish",
    "mish",
    "selu",
    "sigmoid",
    "silu",
    "softplus",
    "tanh",
]

NAN_CODE = -128  # a derivative that is not a number stays so: divergence is not to be hidden
aten = torch.ops.aten


def activate(
    x: Float[Tensor, "..."], activation: Activation, inplace: bool = False
) -> Float[Tensor, "..."]:
    """Apply an activation with torch's own operation; "none" returns `x` itself."""
    if activation == "relu":
        return F.relu(x, inplace)
    if activation == "relu6":
        return F.relu6(x, inplace)
    return x


def activation_bits(y: Float[Tensor, "..."], activation: Activation) -> UInt8[Tensor, " bytes"]:
    """Pack where the gradient passes an activation, in the order of `y`'s memory.

    `y` is the activation's output, not its input. NaN passes, as in torch's own backward; "none"
    needs no bits and gives none.
    """
    if activation == "none":
        return y.new_empty(0, dtype=torch.uint8)
    return pack_bits(in_memory_order(y), ceiling=6.0 if activation == "relu6" else None)


def relu(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Return max(x, 0).

    *Memory:* ceil(count / 8) bytes.
    """
    return _cut_off(x, "relu")


def relu6(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Return min(max(x, 0), 6).

    *Memory:* ceil(count / 8) bytes.
    """
    return _cut_off(x, "relu6")


def _cut_off(x: Tensor, activation: Activation) -> Tensor:
    if asks_for_gradient(x):
        y: Tensor = _CutOff.apply(x, activation)  # type: ignore[no-untyped-call]
        return y
    return activate(x, activation)


class _CutOff(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, activation: Activation) -> Tensor:
        y = activate(x, activation)
        ctx.save_for_backward(activation_bits(y, activation))
        ctx.channels_last = y.is_contiguous(memory_format=torch.channels_last)
        return y

    @staticmethod
    @only_once
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (bits,) = ctx.saved_tensors
        in_place = is_nobody_elses(grad)
        return pass_where(bits, grad, ctx.channels_last, in_place=in_place), None


LEAN_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "relu": relu,
    "relu6": relu6,
}


def smooth_8bit(x: Float[Tensor, "..."], name: Smooth) -> Float[Tensor, "..."]:
    """Apply a smooth activation exactly, but keep its derivative rounded to 8 bits.

    derivative = (code - zero) / steps: a derivative of 0 stays exactly 0, and one of 1
    exactly 1. The largest error of the derivative is half a step, `smooth_8bit_error(name)`:
    elu, softplus and tanh .0020, gelu and gelu_tanh .0025, hardswish .0040, mish .0024, selu .0035,
    sigmoid .0005, silu .0024. Types shorter than 32 bits add their own rounding.

    *Memory:* count bytes; torch's own keeps a whole float.
    """
    if asks_for_gradient(x):
        y: Tensor = _Smooth8Bit.apply(x, name)  # type: ignore[no-untyped-call]
        return y
    return _CURVES[name].forward(x)


def smooth(x: Float[Tensor, "..."], name: Smooth) -> Float[Tensor, "..."]:
    """Apply a smooth activation with torch's own operation, which `smooth_8bit` approximates."""
    return _CURVES[name].forward(x)


def smooth_8bit_error(name: Smooth) -> float:
    """Return how far the derivative that `smooth_8bit` uses may be from the exact one."""
    return 0.5 / _CURVES[name].steps


@dataclass(frozen=True)
class _Curve:
    """A smooth activation; derivative = (code - zero) / steps, with codes from -127 to 127."""

    forward: Callable[[Tensor], Tensor]
    derivative: Callable[[Tensor], Tensor]
    steps: float
    zero: int


def _one(x: Tensor) -> Tensor:
    return x.new_ones(()).expand_as(x)


def _elu_derivative(x: Tensor) -> Tensor:
    return x.clamp(max=0).exp_()


SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772

_CURVES = {
    "elu": _Curve(F.elu, _elu_derivative, 254, -127),
    "gelu": _Curve(F.gelu, lambda x: aten.gelu_backward(_one(x), x), 201, -101),
    "gelu_tanh": _Curve(
        lambda x: F.gelu(x, approximate="tanh"),
        lambda x: aten.gelu_backward(_one(x), x, approximate="tanh"),
        *(201, -101),
    ),
    "hardswish": _Curve(F.hardswish, lambda x: aten.hardswish_backward(_one(x), x), 126, -64),
    "mish": _Curve(F.mish, lambda x: aten.mish_backward(_one(x), x), 211, -103),
    "selu": _Curve(
        F.selu,
        lambda x: _elu_derivative(x).mul_(torch.where(x > 0, SELU_SCALE, SELU_SCALE * SELU_ALPHA)),
        151 / SELU_SCALE,  # such that the slope of its line has a code, too
        -127,
    ),
    "sigmoid": _Curve(
        torch.sigmoid, lambda x: aten.sigmoid_backward(_one(x), x.sigmoid()), 1016, -127
    ),
    "silu": _Curve(F.silu, lambda x: aten.silu_backward(_one(x), x), 210, -106),
    "softplus": _Curve(F.softplus, torch.sigmoid, 254, -127),
    "tanh": _Curve(torch.tanh, lambda x: aten.tanh_backward(_one(x), x.tanh()), 254, -127),
}


class _Smooth8Bit(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, name: Smooth) -> Tensor:
        curve = ctx.curve = _CURVES[name]
        derivative = curve.derivative(x.to(_wide(x.dtype)))
        code = derivative.mul_(curve.steps).add_(curve.zero).round_().nan_to_num_(NAN_CODE)
        ctx.save_for_backward(code.to(torch.int8))
        return curve.forward(x)

    @staticmethod
    @only_once
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (code,) = ctx.saved_tensors
        derivative = F.threshold(code.to(_wide(grad.dtype)), NAN_CODE, math.nan, inplace=True)
        derivative.sub_(ctx.curve.zero).div_(ctx.curve.steps)
        return derivative.mul_(grad).to(grad.dtype), None


def _wide(dtype: torch.dtype) -> torch.dtype:
    """Return a type that can hold a code without rounding it."""
    return torch.promote_types(dtype, torch.float32)
