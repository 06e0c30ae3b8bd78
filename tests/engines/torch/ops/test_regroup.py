"""A batch taken apart and put together: like plain torch, forward and backward."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from addapt.engines.torch.ops.regroup import (
    join_images,
    join_images_reference,
    split_images,
    split_images_reference,
)
from tests.engines.torch.ops.kept import run_and_weigh
from tests.engines.torch.ops.op_cases import LAYOUTS, Layout, laid_out


def groups_of(places: list[int], count: int) -> list[Tensor]:
    """Make `count` groups: image i is in group places[i]."""
    return [
        torch.tensor([i for i, place in enumerate(places) if place == group], dtype=torch.int64)
        for group in range(count)
    ]


@settings(max_examples=25, deadline=None, database=None, derandomize=True)
@given(
    st.lists(st.integers(0, 2), min_size=1, max_size=6), st.integers(1, 5), st.sampled_from(LAYOUTS)
)
def test_both_equal_their_references(places: list[int], side: int, layout: Layout) -> None:
    groups = groups_of(places, 3)
    x = laid_out(torch.randn(len(places), 3, side, side + 1), layout).requires_grad_()
    parts, expected = split_images(x, groups), split_images_reference(x, groups)
    cotangents = [torch.randn_like(part) for part in expected]
    for part, other in zip(parts, expected, strict=True):
        assert torch.equal(part, other)
    of_ours, of_reference = (
        torch.autograd.grad(split, x, cotangents)[0] for split in (parts, expected)
    )
    assert torch.equal(of_ours, of_reference)

    pieces = [laid_out(part.detach(), layout).requires_grad_() for part in parts]
    joined, whole = join_images(pieces, groups), join_images_reference(pieces, groups)
    assert torch.equal(joined, whole)
    assert torch.equal(joined, x)
    cotangent = torch.randn_like(whole)
    for ours, theirs in zip(
        torch.autograd.grad(joined, pieces, cotangent),
        torch.autograd.grad(whole, pieces, cotangent),
        strict=True,
    ):
        assert torch.equal(ours, theirs)


def test_gradcheck() -> None:
    groups = groups_of([1, 0, 1], 2)
    x = torch.randn(3, 2, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: split_images(x, groups), x)
    parts = [part.detach().requires_grad_() for part in split_images(x, groups)]
    assert torch.autograd.gradcheck(lambda *parts: join_images(parts, groups), parts)


def test_the_indices_alone_are_kept() -> None:
    groups = groups_of([1, 0, 1, 2, 2], 3)
    x = torch.randn(5, 3, 4, 4, requires_grad=True)
    _, kept = run_and_weigh(lambda x: split_images(x, groups)[0], [x], frozenset())
    assert kept == 8 * 5
    parts = [part.detach().requires_grad_() for part in split_images(x, groups)]
    _, kept = run_and_weigh(lambda *parts: join_images(parts, groups), parts, frozenset())
    assert kept == 8 * 5


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_the_layout_stays(layout: Layout) -> None:
    form = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    groups = groups_of([0, 1, 0], 2)
    for asks in (False, True):
        x = laid_out(torch.randn(3, 4, 5, 5), layout).requires_grad_(asks)
        parts = split_images(x, groups)
        assert all(part.is_contiguous(memory_format=form) for part in parts)
        assert join_images(parts, groups).is_contiguous(memory_format=form)


def test_parts_of_several_types_as_autocast_makes_them() -> None:
    groups = groups_of([0, 1, 0], 2)
    parts = [torch.randn(2, 1, 2, 2), torch.randn(1, 1, 2, 2, dtype=torch.bfloat16)]
    for part in parts:
        part.requires_grad_()
    joined, expected = join_images(parts, groups), join_images_reference(parts, groups)
    assert joined.dtype == expected.dtype and torch.equal(joined, expected)
    gradients = torch.autograd.grad(joined.sum(), parts)
    assert [gradient.dtype for gradient in gradients] == [torch.float32, torch.bfloat16]
