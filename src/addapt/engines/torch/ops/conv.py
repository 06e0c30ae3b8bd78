"""Frozen convolution, fused with a residual sum and a ReLU: backward keeps one bit an element.

Source: packed weights go through PyTorch's private `torch.ops.mkldnn`, which its compiler uses;
where that is missing, and for all plain weights, portable operations serve.
"""

from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from addapt.engines.torch.ops.activation import Activation, activate, activation_bits
from addapt.engines.torch.ops.bits import pass_where
from addapt.engines.torch.ops.differentiate import (
    asks_for_gradient,
    is_nobody_elses,
    only_once,
    only_plain_serves,
)
from addapt.engines.torch.ops.grid import add_tiled_reference, add_tiles, sum_tiles

Pair = tuple[int, int]


class ConvGeometry(NamedTuple):
    """How a kernel moves over a map, and what is done to the result."""

    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    activation: Activation = "none"


class Tiles(NamedTuple):
    """A grid over a map: `grid` has an element for each square of `side` x `side`."""

    grid: Float[Tensor, "n c gh gw"]
    side: int


class PackedWeight(NamedTuple):
    """A weight in oneDNN's own order, for forward and for the input's gradient."""

    forward: Tensor
    input_gradient: Tensor
    kernel: Pair


def frozen_conv2d(
    x: Float[Tensor, "n c_in h w"],
    weight: Float[Tensor, "c_out c_in/groups kh kw"] | PackedWeight,
    bias: Float[Tensor, " c_out"] | None = None,
    residual: Float[Tensor, "n c_out h2 w2"] | None = None,
    geometry: ConvGeometry = ConvGeometry(),  # noqa: B008  # immutable
    tiles: Tiles | None = None,
) -> Float[Tensor, "n c_out h2 w2"]:
    """Compute activation(weight * x + bias + tiles + residual) with a weight that is never trained.

    Args:
        x: the input; receives a gradient if it asks for one, as `bias` and `residual` do.
        weight: frozen, plain or packed by `pack_weight`.
        bias: may be trained.
        residual: added before the activation; of the result's shape.
        geometry: stride, padding, dilation, groups, activation.
        tiles: a bias for each image and square of the map; receives a gradient if it asks for one.

    *Memory:* ceil(n c_out h2 w2 / 8) bytes with a ReLU or ReLU6, else nothing.
    """
    grid, side = (None, 1) if tiles is None else tiles
    if asks_for_gradient(x, bias, residual, grid):
        output = _FrozenConv2d.apply(x, weight, bias, residual, geometry, grid, side)  # type: ignore[no-untyped-call]
        return cast(Tensor, output)
    return _forward(x, weight, bias, residual, geometry, grid, side)


def frozen_conv2d_reference(
    x: Float[Tensor, "n c_in h w"],
    weight: Float[Tensor, "c_out c_in/groups kh kw"],
    bias: Float[Tensor, " c_out"] | None,
    residual: Float[Tensor, "n c_out h2 w2"] | None,
    geometry: ConvGeometry,
    tiles: Tiles | None = None,
) -> Float[Tensor, "n c_out h2 w2"]:
    """Compute the same in plain PyTorch."""
    y = F.conv2d(x, weight, bias, *geometry[:4])
    y = y if tiles is None else add_tiled_reference(y, *tiles)
    return activate(y if residual is None else y + residual, geometry.activation)


def add_residual(y: Tensor, residual: Tensor) -> Tensor:
    """Return the sum, within the memory of `y` unless it needs a wider type."""
    widens = torch.promote_types(y.dtype, residual.dtype) != y.dtype
    return y + residual if widens else y.add_(residual)


def may_be_overwritten(y: Tensor, x: Tensor) -> bool:
    """Say whether no backward needs a block's output `y`, and its input `x` lies elsewhere.

    Backward of `frozen_conv2d` does not need its result; other operations' may.
    """
    if only_plain_serves():  # autograd records other operations than these then
        return False
    needed_by_none = y.grad_fn is None or isinstance(y.grad_fn, _FrozenConv2d._backward_cls)
    return needed_by_none and y.untyped_storage()._cdata != x.untyped_storage()._cdata


def can_pack(x: Tensor) -> bool:
    """Say whether oneDNN's convolution takes packed weights for `x`: float32, CPU, not empty."""
    return bool(
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and x.numel() > 0
        and not only_plain_serves()
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and torch.backends.mkldnn.enabled
        and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
    )


def output_size(
    input_size: torch.Size, kernel: tuple[int, ...], geometry: ConvGeometry
) -> list[int]:
    """Return height and width of the map that a kernel makes of one of `input_size`."""
    stride, padding, dilation, _, _ = geometry
    return [
        (size + 2 * p - d * (k - 1) - 1) // s + 1
        for size, k, s, p, d in zip(input_size, kernel, stride, padding, dilation, strict=True)
    ]


def pack_weight(
    weight: Float[Tensor, "c_out c_in/groups kh kw"],
    geometry: ConvGeometry,
    input_shape: torch.Size,
) -> PackedWeight:
    """Reorder a weight for inputs of `input_shape`, so that no call needs to do it again.

    *Memory:* twice the weight's bytes, held beside the weight or instead of it.
    """
    stride, padding, dilation, groups, _ = geometry
    kernel = (weight.shape[2], weight.shape[3])
    output = output_size(input_shape[2:], kernel, geometry)
    extra = _output_padding(tuple(input_shape[2:]), tuple(output), kernel, geometry)
    forward = torch.ops.mkldnn._reorder_convolution_weight(
        weight, padding, stride, dilation, groups, list(input_shape)
    )
    input_gradient = torch.ops.mkldnn._reorder_convolution_transpose_weight(
        weight, padding, extra, stride, dilation, groups, [input_shape[0], weight.shape[0], *output]
    )
    return PackedWeight(forward, input_gradient, kernel)


class _FrozenConv2d(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | PackedWeight,
        bias: Tensor | None,
        residual: Tensor | None,
        geometry: ConvGeometry,
        grid: Tensor | None,
        side: int,
    ) -> Tensor:
        y = _forward(x, weight, bias, residual, geometry, grid, side)
        bits = None if geometry.activation == "none" else activation_bits(y, geometry.activation)
        ctx.channels_last = y.is_contiguous(memory_format=torch.channels_last)
        # A packed weight is no ordinary tensor and cannot be saved; it is constant all the same.
        ctx.packed = weight if isinstance(weight, PackedWeight) else None
        ctx.save_for_backward(bits, None if isinstance(weight, PackedWeight) else weight)
        ctx.geometry, ctx.input_size, ctx.side = geometry, x.shape[2:], side
        return y

    @staticmethod
    @only_once
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        in_place = is_nobody_elses(grad)
        bits, weight = ctx.saved_tensors
        wants_x, _, wants_bias, wants_residual, _, wants_grid, _ = ctx.needs_input_grad
        if bits is not None:
            grad = pass_where(bits, grad, ctx.channels_last, in_place=in_place)
        grad_x = grad_bias = grad_grid = None
        if wants_bias:
            grad_bias = grad.sum((0, 2, 3))
        if wants_grid:
            grad_grid = sum_tiles(grad, ctx.side)
        if wants_x:
            # Autocast, or a residual of another type, may have changed the type on the way.
            weight = ctx.packed or weight.to(grad.dtype)
            grad_x = _input_gradient(grad, weight, ctx.input_size, ctx.geometry)
        grad_residual = grad if wants_residual else None
        return grad_x, None, grad_bias, grad_residual, None, grad_grid, None


def _forward(
    x: Tensor,
    weight: Tensor | PackedWeight,
    bias: Tensor | None,
    residual: Tensor | None,
    geometry: ConvGeometry,
    grid: Tensor | None,
    side: int,
) -> Tensor:
    stride, padding, dilation, groups, activation = geometry
    if isinstance(weight, PackedWeight):
        y: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, weight.forward, bias, padding, stride, dilation, groups, "none", [], ""
        )
    else:
        y = F.conv2d(x, weight, bias, stride, padding, dilation, groups)
    if grid is not None:
        y = add_tiles(y, grid, side)
    # In place, while the map is in the cache, and not by oneDNN's own fusion: that gains 3 % at
    # most, and turns NaN into 0, which would hide from the user that a training went astray.
    return activate(y if residual is None else add_residual(y, residual), activation, inplace=True)


def _input_gradient(
    grad: Tensor, weight: Tensor | PackedWeight, input_size: torch.Size, geometry: ConvGeometry
) -> Tensor:
    stride, padding, dilation, groups, _ = geometry
    kernel = weight.kernel if isinstance(weight, PackedWeight) else tuple(weight.shape[2:])
    extra = _output_padding(tuple(input_size), tuple(grad.shape[2:]), kernel, geometry)
    if isinstance(weight, PackedWeight):
        packed: Tensor = torch.ops.mkldnn._convolution_transpose_pointwise(
            *(grad, weight.input_gradient, None, padding, extra, stride, dilation, groups),
            *("none", [], ""),
        )
        return packed
    return F.conv_transpose2d(grad, weight, None, stride, padding, extra, groups, dilation)


def _output_padding(
    input_size: tuple[int, ...],
    output_size: tuple[int, ...],
    kernel: tuple[int, ...],
    geometry: ConvGeometry,
) -> list[int]:
    """Return the rows and columns at the end of the input that no window reached."""
    stride, padding, dilation, _, _ = geometry
    return [
        size - ((out - 1) * s - 2 * p + d * (k - 1) + 1)
        for size, out, k, s, p, d in zip(
            input_size, output_size, kernel, stride, padding, dilation, strict=True
        )
    ]
