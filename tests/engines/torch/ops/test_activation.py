"""What the case table does not ask: where NaN passes, and how coarse 8 bits are."""

import math
from typing import get_args

import pytest
import torch

from addapt.engines.torch.ops.activation import (
    Activation,
    Smooth,
    activate,
    activation_bits,
    relu,
    relu6,
    smooth,
    smooth_8bit,
    smooth_8bit_error,
)
from addapt.engines.torch.ops.bits import unpack_bits


def test_nan_passes_the_gradient_and_the_flat_ends_do_not() -> None:
    values = torch.tensor([-math.inf, -1, -0.0, 0, 1e-45, 3, 5.9999995, 6, 7, math.inf, math.nan])
    for op, passing in ((relu, [4, 5, 6, 7, 8, 9, 10]), (relu6, [4, 5, 6, 10])):
        x = values.clone().requires_grad_()
        y = op(x)
        (grad,) = torch.autograd.grad(y, x, torch.ones_like(y))
        assert grad.nonzero().flatten().tolist() == passing
        assert y[-1].isnan()


@pytest.mark.parametrize("activation", ["relu", "relu6"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32], ids=str)
def test_bits_of_every_short_number(dtype: torch.dtype, activation: Activation) -> None:
    every = torch.arange(-(2**15), 2**15, dtype=torch.int16)
    y = activate(every.view(torch.bfloat16 if dtype == torch.float32 else dtype), activation)
    y = y.to(dtype)
    bits = activation_bits(y, activation)
    assert bits.untyped_storage().nbytes() == y.numel() / 8
    passing = ~((y <= 0) | (y >= (6 if activation == "relu6" else torch.inf)))
    passing |= (y == torch.inf) if activation == "relu" else False
    assert torch.equal(unpack_bits(bits, y.numel(), torch.float32).bool(), passing)


@pytest.mark.parametrize("activation", get_args(Activation))
def test_activate_in_place(activation: Activation) -> None:
    x = torch.linspace(-3, 9, 25)
    expected = activate(x, activation)
    for inplace in (False, True):
        y = x.clone()
        out = activate(y, activation, inplace)
        assert torch.equal(out, expected)
        assert (out.data_ptr() == y.data_ptr()) == (inplace or activation == "none")


@pytest.mark.parametrize("name", get_args(Smooth))
def test_error_of_the_derivative_is_the_one_stated(name: Smooth) -> None:
    x = torch.linspace(-30, 30, 60_001, dtype=torch.float64, requires_grad=True)
    approximate, exact = (
        torch.autograd.grad(op(x, name).sum(), x)[0] for op in (smooth_8bit, smooth)
    )
    error = (approximate - exact).abs().max().item()
    assert error <= smooth_8bit_error(name) + 1e-12
    # and it is no empty promise: somewhere the error is nearly that large
    assert error >= 0.98 * smooth_8bit_error(name)
    assert smooth_8bit.__doc__ is not None
    assert f"{smooth_8bit_error(name):.4f}"[1:] in smooth_8bit.__doc__
    assert not approximate[exact == 0].any()
    assert (approximate[(exact - 1).abs() < 1e-15] == 1).all()
