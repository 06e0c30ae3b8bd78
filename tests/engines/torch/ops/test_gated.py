"""What the case table does not ask of gates: rounded maps, and factors of any shape and order."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from addapt.engines.torch.ops.activation import smooth
from addapt.engines.torch.ops.gated import Source, gated, gated_8bit, gated_reference
from tests.engines.torch.ops.kept import run_and_weigh

GATES = [(2, 6, 1, 1), (2, 1, 7, 5), (1, 6, 1, 1), (2, 6, 7, 5), ()]


def factors(gate: tuple[int, ...], dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x, g = (torch.randn(s, generator=generator, dtype=dtype) for s in ((2, 6, 7, 5), gate))
    return x.requires_grad_(), g.requires_grad_()


def gradients(op: Callable[..., Tensor], x: Tensor, gate: Tensor) -> list[Tensor]:
    y = op(x, gate)
    cotangent = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y.dtype)
    return [y.detach(), *torch.autograd.grad(y, (x, gate), cotangent)]


@pytest.mark.parametrize("shape", GATES, ids=str)
@pytest.mark.parametrize("turned", [False, True])
def test_gates_of_all_shapes(shape: tuple[int, ...], turned: bool) -> None:
    x, gate = factors(shape)
    expected = gradients(gated_reference, x, gate)

    def exact(x: Tensor, gate: Tensor) -> Tensor:
        # Of this `x` is not made: a trap for equal shapes.
        source: Source = x.detach().clone(), "mish"
        return gated(gate, x, None, None) if turned else gated(x, gate, None, source)

    def rounded(x: Tensor, gate: Tensor) -> Tensor:
        return gated_8bit(gate, x) if turned else gated_8bit(x, gate)

    assert all(map(torch.equal, gradients(exact, x, gate), expected))
    got = gradients(rounded, x, gate)
    assert torch.equal(got[0], expected[0])
    error_of_x, error_of_gate = (
        (mine - theirs).abs().max() for mine, theirs in zip(got[1:], expected[1:], strict=True)
    )
    assert 0 < error_of_gate < 0.2
    # Two maps of the same shape are both rounded.
    assert (0 < error_of_x < 0.05) if shape == (2, 6, 7, 5) else error_of_x == 0


def test_gates_that_are_spread_and_maps_of_more_dimensions() -> None:
    x, gate = factors((2, 6, 1, 1))
    wides: tuple[Callable[[Tensor], Tensor], ...] = (
        lambda g: g.expand(2, 6, 7, 5),
        lambda g: g.view(2, 3, 2, 1, 1),
    )
    for wide in wides:
        for turned in (False, True):

            def run(op: Callable[..., Tensor], x: Tensor, gate: Tensor) -> Tensor:
                g = wide(gate)  # noqa: B023
                pair = x.view(2, 3, 2, 7, 5) if g.dim() == 5 else x, g
                return op(*(reversed(pair) if turned else pair))  # noqa: B023

            expected = gradients(partial(run, gated_reference), x, gate)
            got = gradients(partial(run, gated_8bit), x, gate)
            assert torch.equal(got[0], expected[0]) and torch.equal(got[1], expected[1])
            assert 0 < (got[2] - expected[2]).abs().max() < 0.2
            _, kept = run_and_weigh(partial(run, gated_8bit), [x, gate], frozenset())
            assert kept < 8 * x.numel() / 2


def test_the_rounded_gradient_is_as_near_as_stated() -> None:
    x, gate = factors((2, 6, 1, 1), torch.float32)
    y, expected = gated_8bit(x, gate), gated_reference(x, gate)
    cotangent = torch.randn_like(y)
    got, exact = (torch.autograd.grad(z, gate, cotangent)[0] for z in (y, expected))
    allowed = cotangent.abs().sum((2, 3), keepdim=True) * x.abs().amax((2, 3), keepdim=True) / 254
    assert ((got - exact).abs() <= allowed * 1.001 + 1e-5).all()
    assert (got - exact).abs().max() > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_the_largest_has_a_code(dtype: torch.dtype) -> None:
    x = torch.linspace(-1, 1, 6 * 35).view(1, 6, 7, 5).mul(3.3).to(dtype).requires_grad_()
    gate = torch.ones(1, 6, 1, 1, dtype=dtype, requires_grad=True)
    at = torch.zeros_like(x)
    at[0, 0, 0, 0] = 1
    (got,) = torch.autograd.grad(gated_8bit(x, gate), gate, at)
    assert got[0, 0, 0, 0].item() == pytest.approx(-3.3, rel=0.01)


def test_kept_bytes() -> None:
    x, gate = factors((2, 6, 1, 1), torch.float32)
    count, channels = x.numel(), gate.numel()
    assert run_and_weigh(gated_reference, [x, gate], frozenset())[1] == 4 * (count + channels)
    rounded = run_and_weigh(gated_8bit, [x, gate], frozenset())[1]
    assert rounded == count + 4 * channels + 4 * channels
    _, other = factors((2, 6, 7, 5), torch.float32)
    of_two = run_and_weigh(gated_8bit, [x, other], frozenset())[1]
    assert of_two == 2 * (count + 4 * channels)

    def of_silu(u: Tensor, gate: Tensor) -> Tensor:
        return gated(gate, smooth(u, "silu"), None, (u, "silu"))

    assert run_and_weigh(of_silu, [x, gate], frozenset())[1] == 4 * (count + channels)


@pytest.mark.parametrize("op", [gated, gated_8bit])
def test_a_factor_may_be_a_number(op: Callable[..., Tensor]) -> None:
    x, _ = factors((2, 6, 1, 1))
    for y in (op(x, 3), op(0.5, x)):
        assert torch.equal(y, x * 3) or torch.equal(y, x * 0.5)


def test_nan_is_not_hidden() -> None:
    x, gate = factors((2, 6, 1, 1), torch.float32)
    with torch.no_grad():
        x[0, 0, 0, 0] = torch.nan
    y, _, of_gate = gradients(gated_8bit, x, gate)
    assert y.isnan().sum() == 1 and of_gate.isnan().sum() == 1
