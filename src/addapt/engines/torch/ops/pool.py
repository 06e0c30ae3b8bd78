"""Pooling: the maximum keeps 1 byte an output element, the average nothing."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from addapt.engines.torch.ops.bits import in_memory_order
from addapt.engines.torch.ops.differentiate import asks_for_gradient, only_once

Pair = int | tuple[int, int]
aten = torch.ops.aten


def max_pool2d(
    x: Float[Tensor, "*n c h w"],
    kernel: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
) -> Float[Tensor, "*n c h2 w2"]:
    """Return the maximum of each window; arguments as in torch.nn.functional.max_pool2d.

    *Memory:* 1 byte an output element: which place of the window won. 4 bytes where a
    window has more than 256 places.
    """
    window = _pair(kernel), _pair(kernel if stride is None else stride), _pair(padding)
    if asks_for_gradient(x):
        y: Tensor = _MaxPool2d.apply(x, *window, _pair(dilation), ceil_mode)  # type: ignore[no-untyped-call]
        return y
    return F.max_pool2d(x, *window, _pair(dilation), ceil_mode)


class _MaxPool2d(torch.autograd.Function):
    """Torch names each winner by its int64 place in the plane; we keep its place in the window.

    Both differ by where the window starts, which is the same in every plane.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        padding: tuple[int, int],
        dilation: tuple[int, int],
        ceil_mode: bool,
    ) -> Tensor:
        y, places = F.max_pool2d(
            x, kernel, stride, padding, dilation, ceil_mode, return_indices=True
        )
        ctx.window = kernel, stride, padding, dilation, ceil_mode
        ctx.shape, ctx.memory_format = x.shape, _memory_format(x)
        places = places.contiguous(memory_format=ctx.memory_format)
        places -= _window_starts(places, x.shape[-1], stride, padding)
        offsets = _window_offsets(x.shape[-1], kernel, dilation)
        codes = [0] * (offsets[-1] + 1)
        for code, offset in enumerate(offsets):
            codes[offset] = code
        table = torch.tensor(codes, dtype=_code_type(kernel), device=x.device)
        ctx.save_for_backward(table.index_select(0, in_memory_order(places)))
        return y

    @staticmethod
    @only_once
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        (codes,) = ctx.saved_tensors
        kernel, stride, padding, dilation, _ = ctx.window
        grad = grad.contiguous(memory_format=ctx.memory_format)
        offsets = torch.tensor(_window_offsets(ctx.shape[-1], kernel, dilation), device=grad.device)
        places = offsets.index_select(0, codes.int()).as_strided(grad.shape, grad.stride())
        places += _window_starts(places, ctx.shape[-1], stride, padding)
        out = _empty_like_input(ctx, grad)
        aten.max_pool2d_with_indices_backward(grad, out, *ctx.window, places, grad_input=out)
        return out, None, None, None, None, None


def _code_type(kernel: tuple[int, int]) -> torch.dtype:
    return torch.uint8 if kernel[0] * kernel[1] <= 256 else torch.int32


def _window_starts(
    places: Tensor, width: int, stride: tuple[int, int], padding: tuple[int, int]
) -> Int[Tensor, "h2 w2"]:
    """Return the place of each window's first element; one in the padding may be negative."""
    rows, columns = (
        torch.arange(side, device=places.device) * s - p
        for side, s, p in zip(places.shape[-2:], stride, padding, strict=True)
    )
    return rows[:, None] * width + columns


def _window_offsets(width: int, kernel: tuple[int, int], dilation: tuple[int, int]) -> list[int]:
    """Return the places of a window's elements, counted from its first one, in order.

    Where the plane is narrower than the window two elements share an offset, but only one of
    the two is inside the plane, so that a place is still found from an offset.
    """
    return sorted(
        row * dilation[0] * width + column * dilation[1]
        for row in range(kernel[0])
        for column in range(kernel[1])
    )


def avg_pool2d(
    x: Float[Tensor, "*n c h w"],
    kernel: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Float[Tensor, "*n c h2 w2"]:
    """Return the mean of each window; arguments as in torch.nn.functional.avg_pool2d.

    *Memory:* nothing; torch's own keeps `x`.
    """
    window = _pair(kernel), _pair(kernel if stride is None else stride), _pair(padding)
    options = ceil_mode, count_include_pad, divisor_override
    if asks_for_gradient(x):
        y: Tensor = _AvgPool2d.apply(x, *window, *options)  # type: ignore[no-untyped-call]
        return y
    return F.avg_pool2d(x, *window, *options)


class _AvgPool2d(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, *window: Any) -> Tensor:
        ctx.window, ctx.shape, ctx.memory_format = window, x.shape, _memory_format(x)
        return F.avg_pool2d(x, *window)

    @staticmethod
    @only_once
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return _avg_pool2d_backward(ctx, grad, *ctx.window), *(None for _ in ctx.window)


def _avg_pool2d_backward(ctx: Any, grad: Tensor, *window: Any) -> Tensor:
    grad = grad.contiguous(memory_format=ctx.memory_format)
    out = _empty_like_input(ctx, grad)
    aten.avg_pool2d_backward(grad, out, *window, grad_input=out)
    return out


def adaptive_avg_pool2d(
    x: Float[Tensor, "*n c h w"], size: int | tuple[int | None, int | None]
) -> Float[Tensor, "*n c h2 w2"]:
    """Return the mean of each of h2 x w2 windows; arguments as in torch.nn.functional.

    *Memory:* nothing; torch's own keeps `x`, unless the size is 1.
    """
    if asks_for_gradient(x):
        y: Tensor = _AdaptiveAvgPool2d.apply(x, size)  # type: ignore[no-untyped-call]
        return y
    return F.adaptive_avg_pool2d(x, size)


class _AdaptiveAvgPool2d(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, size: int | tuple[int | None, int | None]) -> Tensor:
        ctx.shape, ctx.memory_format = x.shape, _memory_format(x)
        return F.adaptive_avg_pool2d(x, size)

    @staticmethod
    @only_once
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (h, w), (rows, columns) = ctx.shape[-2:], grad.shape[-2:]
        if rows == columns == 1:
            return (grad / (h * w)).expand(ctx.shape), None
        if h % rows == 0 and w % columns == 0:
            window = (h // rows, w // columns)
            grad = _avg_pool2d_backward(ctx, grad, window, window, (0, 0), False, True, None)
            return grad, None
        # Rows last: they are written whole, straight into the result.
        return _spread(ctx, _spread(ctx, grad, -1, w), -2, h), None


def _spread(ctx: Any, grad: Tensor, dim: int, side: int) -> Tensor:
    """Give each of `side` places along one dimension its share of the windows that cover it."""
    shape, windows = list(grad.shape), grad.shape[dim]
    shape[dim] = side
    out = torch.empty(
        shape, dtype=grad.dtype, device=grad.device, memory_format=ctx.memory_format
    ).zero_()
    for i in range(windows):
        start, stop = i * side // windows, -(-(i + 1) * side // windows)
        out.narrow(dim, start, stop - start).add_(grad.narrow(dim, i, 1) / (stop - start))
    return out


def _pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _memory_format(x: Tensor) -> torch.memory_format:
    """Return channels-last where `x` is so beyond doubt."""
    if x.is_contiguous() or not x.is_contiguous(memory_format=torch.channels_last):
        return torch.contiguous_format
    return torch.channels_last


def _empty_like_input(ctx: Any, grad: Tensor) -> Tensor:
    """Make the gradient of a pooling's input, not yet filled.

    It also stands in where torch's backward asks for the input, of which it uses shape and
    memory format only.
    """
    return torch.empty(
        ctx.shape, dtype=grad.dtype, device=grad.device, memory_format=ctx.memory_format
    )
