"""What the case table does not ask of the frozen batch norm."""

from functools import partial

import pytest
import torch

from addapt.engines.torch.ops.affine import channel_affine, channel_affine_reference
from addapt.engines.torch.ops.bits import bits_bytes
from tests.engines.torch.ops.kept import run_and_weigh


def test_a_scale_that_asks_for_a_gradient_is_refused() -> None:
    x, scale, shift = torch.ones(2, 3, 4, 4), torch.ones(3, requires_grad=True), torch.zeros(3)
    with pytest.raises(ValueError, match="scale cannot be trained.*channel_affine_reference"):
        channel_affine(x, scale, shift)
    with torch.no_grad():
        assert torch.equal(channel_affine(x, scale, shift), x)


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 2, 3, 4)])
def test_any_number_of_dimensions(shape: tuple[int, ...]) -> None:
    x, scale, shift = torch.randn(shape), torch.randn(3), torch.randn(3)
    inputs = [x.requires_grad_(), scale, shift.requires_grad_()]
    y, kept = run_and_weigh(partial(channel_affine, activation="relu6"), inputs, frozenset({1}))
    assert kept == bits_bytes(y.numel())
    expected = channel_affine_reference(x, scale, shift, "relu6")
    cotangent = torch.randn(shape)
    torch.testing.assert_close(y, expected)
    of_op, of_reference = (torch.autograd.grad(z, (x, shift), cotangent) for z in (y, expected))
    torch.testing.assert_close(of_op, of_reference)
