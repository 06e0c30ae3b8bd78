"""What the case table does not ask of pooling."""

import math

import pytest
import torch
import torch.nn.functional as F

from addapt.engines.torch.ops.pool import adaptive_avg_pool2d, avg_pool2d, max_pool2d
from tests.engines.torch.ops.kept import run_and_weigh


def test_padding_never_wins() -> None:
    x = torch.full((1, 1, 3, 3), -math.inf, requires_grad=True)
    y = max_pool2d(x, 3, 2, 1)
    (grad,) = torch.autograd.grad(y, x, torch.ones_like(y))
    assert (y == -math.inf).all() and grad.sum() == y.numel()


@pytest.mark.parametrize("planes", [(5,), (2, 5)])
def test_a_single_image_needs_no_batch(planes: tuple[int, ...]) -> None:
    x = torch.randn(*planes, 9, 8, requires_grad=True)
    pairs = [
        (max_pool2d(x, 3, 2, 1), F.max_pool2d(x, 3, 2, 1)),
        (avg_pool2d(x, 3, 2, 1), F.avg_pool2d(x, 3, 2, 1)),
        *((adaptive_avg_pool2d(x, s), F.adaptive_avg_pool2d(x, s)) for s in (1, (3, 4), 5)),
    ]
    for y, expected in pairs:
        cotangent = torch.randn_like(y)
        torch.testing.assert_close(y, expected)
        of_op, of_reference = (torch.autograd.grad(z, x, cotangent) for z in (y, expected))
        torch.testing.assert_close(of_op, of_reference)


def test_global_mean_spreads_its_gradient_without_making_a_map() -> None:
    x = torch.randn(2, 3, 16, 16, requires_grad=True)
    (grad,) = torch.autograd.grad(adaptive_avg_pool2d(x, 1).sum(), x)
    assert grad.untyped_storage().nbytes() == 2 * 3 * 4


def test_torch_keeps_what_we_do_not() -> None:
    x = torch.randn(2, 4, 16, 16, requires_grad=True)
    assert (
        run_and_weigh(lambda x: F.max_pool2d(x, 2), [x], frozenset())[1] == (4 + 8 / 4) * x.numel()
    )
    assert run_and_weigh(lambda x: F.avg_pool2d(x, 2), [x], frozenset())[1] == 4 * x.numel()
    assert run_and_weigh(lambda x: max_pool2d(x, 2), [x], frozenset())[1] == x.numel() / 4
    assert run_and_weigh(lambda x: avg_pool2d(x, 2), [x], frozenset())[1] == 0
