"""From a map to a coarse grid beside it, and from the grid back onto a map; keeps nothing.

Both write where there is memory already: a fresh tensor of the size of a map costs more time,
page by page, than the arithmetic.
"""

import math
from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from addapt.engines.torch.ops.differentiate import asks_for_gradient, is_nobody_elses, only_once


def pool_beside(
    x: Float[Tensor, "n c h w"], factor: int
) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, "n c gh gw"]]:
    """Return `x` itself and its means over squares of `factor`, smaller ones at the far edges.

    What goes on with `x` must use the one that is returned, so that both gradients meet here
    and become one without a tensor of their own.

    *Memory:* nothing.
    """
    if asks_for_gradient(x):
        outputs = _PoolBeside.apply(x, factor)  # type: ignore[no-untyped-call]
        return cast(tuple[Tensor, Tensor], outputs)
    return x, _pool(x, factor)


def pool_beside_reference(
    x: Float[Tensor, "n c h w"], factor: int
) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, "n c gh gw"]]:
    """Compute the same with plain torch."""
    return x, _pool(x, factor)


class _PoolBeside(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: int) -> tuple[Tensor, Tensor]:
        ctx.factor = factor
        return x.view_as(x), _pool(x, factor)

    @staticmethod
    @only_once
    def backward(ctx: Any, grad: Tensor, grad_pooled: Tensor) -> tuple[Tensor, None]:
        in_place = is_nobody_elses(grad)
        shares = grad_pooled / ctx.factor**2
        h, w = grad.shape[2:]
        if h % ctx.factor:
            shares[:, :, -1] *= ctx.factor / (h % ctx.factor)
        if w % ctx.factor:
            shares[..., -1] *= ctx.factor / (w % ctx.factor)
        return add_tiles(grad if in_place else grad.clone(), shares, ctx.factor), None


def add_tiled(
    y: Float[Tensor, "n c h w"],
    small: Float[Tensor, "n c gh gw"],
    factor: int,
    *,
    in_place: bool = False,
) -> Float[Tensor, "n c h w"]:
    """Return y plus `small`, each of whose elements is spread over a square of y.

    Args:
        y: a map.
        small: a grid over it, gh = ceil(h / factor), gw = ceil(w / factor).
        factor: the side of a square.
        in_place: `y` may become the result: nothing else needs it, backward neither.

    *Memory:* nothing.
    """
    if asks_for_gradient(y, small):
        return cast(Tensor, _AddTiled.apply(y, small, factor, in_place))  # type: ignore[no-untyped-call]
    return add_tiles(y if in_place else y.clone(), small, factor)


def add_tiled_reference(
    y: Float[Tensor, "n c h w"], small: Float[Tensor, "n c gh gw"], factor: int
) -> Float[Tensor, "n c h w"]:
    """Compute the same with plain torch."""
    tiles = small.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    return y + tiles[:, :, : y.shape[2], : y.shape[3]]


class _AddTiled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, small: Tensor, factor: int, in_place: bool) -> Tensor:
        ctx.factor = factor
        if in_place:
            ctx.mark_dirty(y)
        return add_tiles(y if in_place else y.clone(), small, factor)

    @staticmethod
    @only_once
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        return grad, sum_tiles(grad, ctx.factor), None, None


def square_side(size: torch.Size, grid: torch.Size) -> int | None:
    """Return the side of a map's squares of which a grid has one each; None if no side fits."""
    side = max(math.ceil(n / g) for n, g in zip(size, grid, strict=True))
    fits = all(math.ceil(n / side) == g for n, g in zip(size, grid, strict=True))
    return side if fits else None


def add_grid(
    y: Float[Tensor, "n c h w"], grid: Float[Tensor, "n c gh gw"]
) -> Float[Tensor, "n c h w"]:
    """Return y plus a grid spread over it, with plain torch, whether squares fit or not."""
    side = square_side(y.shape[2:], grid.shape[2:])
    if side is None:  # y has a border of its own
        return y + F.interpolate(grid, y.shape[2:])
    return add_tiled_reference(y, grid, side)


def add_tiles(y: Tensor, small: Tensor, factor: int) -> Tensor:
    """Add each element of `small` to its square of `y`, in place."""
    if factor == 1:
        return y.add_(small)
    n, c, h, w = y.shape
    rows, columns = h // factor, w // factor  # whole squares; the rest is at the far edges
    below, right = rows * factor, columns * factor
    # Rows and columns as dimensions of their own: broadcast sums, nothing is repeated.
    whole = y[:, :, :below, :right].view(n, c, rows, factor, columns, factor)
    whole += small[:, :, :rows, None, :columns, None]
    if right < w:
        edge = y[:, :, :below, right:].view(n, c, rows, factor, w - right)
        edge += small[:, :, :rows, None, -1:]
    if below < h:
        edge = y[:, :, below:, :right].view(n, c, h - below, columns, factor)
        edge += small[:, :, -1:, :columns, None]
    if right < w and below < h:
        y[:, :, below:, right:] += small[:, :, -1:, -1:]
    return y


def sum_tiles(y: Float[Tensor, "n c h w"], factor: int) -> Float[Tensor, "n c gh gw"]:
    """Return the sums over squares of y, which is what `add_tiles` is in backward."""
    # Sums, not means; the zeros that complete the squares at the edges count as well.
    return y if factor == 1 else F.avg_pool2d(y, factor, ceil_mode=True, divisor_override=1)


def _pool(x: Tensor, factor: int) -> Tensor:
    return F.avg_pool2d(x, factor, ceil_mode=True)
