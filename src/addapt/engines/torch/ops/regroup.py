"""A batch taken apart into groups of images, and put together again; keeps the indices alone."""

import functools
from collections.abc import Sequence
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from addapt.engines.torch.ops.differentiate import asks_for_gradient, only_once

Groups = Sequence[Int[Tensor, " k"]]


def split_images(x: Float[Tensor, "n c h w"], groups: Groups) -> tuple[Tensor, ...]:
    """Return the images of each group as a tensor of their own, x[group].

    Groups are places in the batch; together they name each image once.

    *Memory:* 8 n bytes, the groups.
    """
    if asks_for_gradient(x):
        return cast(tuple[Tensor, ...], _Split.apply(x, *groups))  # type: ignore[no-untyped-call]
    return _take(x, groups)


def split_images_reference(x: Float[Tensor, "n c h w"], groups: Groups) -> tuple[Tensor, ...]:
    """Compute the same with plain torch."""
    return tuple(x[group] for group in groups)


def join_images(parts: Sequence[Float[Tensor, "k c h w"]], groups: Groups) -> Tensor:
    """Return the batch y whose images y[group] are those of the parts: the inverse of splitting.

    *Memory:* 8 n bytes, the groups.
    """
    if asks_for_gradient(*parts):
        return cast(Tensor, _Join.apply(len(groups), *groups, *parts))  # type: ignore[no-untyped-call]
    return _put(parts, groups)


def join_images_reference(parts: Sequence[Float[Tensor, "k c h w"]], groups: Groups) -> Tensor:
    """Compute the same with plain torch."""
    return torch.cat(list(parts))[torch.cat(list(groups)).argsort()]


class _Split(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, *groups: Tensor) -> tuple[Tensor, ...]:
        ctx.save_for_backward(*groups)
        return _take(x, groups)

    @staticmethod
    @only_once
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        groups = ctx.saved_tensors
        return _put(grads, groups), *(None for _ in groups)


class _Join(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, count: int, *tensors: Tensor) -> Tensor:
        groups, parts = tensors[:count], tensors[count:]
        ctx.save_for_backward(*groups)
        return _put(parts, groups)

    @staticmethod
    @only_once
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        groups = ctx.saved_tensors
        return None, *(None for _ in groups), *_take(grad, groups)


def _take(x: Tensor, groups: Groups) -> tuple[Tensor, ...]:
    if x.is_contiguous(memory_format=torch.channels_last):
        rows = x.permute(0, 2, 3, 1)  # contiguous: what is taken of it stays so
        return tuple(rows.index_select(0, group).permute(0, 3, 1, 2) for group in groups)
    return tuple(x.index_select(0, group) for group in groups)


def _put(parts: Sequence[Tensor], groups: Groups) -> Tensor:
    images = sum(len(group) for group in groups)
    first = parts[0]
    dtype = functools.reduce(torch.promote_types, (part.dtype for part in parts))
    channels_last = all(part.is_contiguous(memory_format=torch.channels_last) for part in parts)
    y = torch.empty(
        (images, *first.shape[1:]),
        dtype=dtype,
        device=first.device,
        memory_format=torch.channels_last if channels_last else torch.contiguous_format,
    )
    for part, group in zip(parts, groups, strict=True):
        y.index_copy_(0, group, part.to(dtype))
    return y
