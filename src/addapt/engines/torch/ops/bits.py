"""One bit an element: what backward keeps of a ReLU.

Work goes on piece by piece within one small buffer: fresh memory of the size of a map costs
more time, page by page, than all the arithmetic here.
"""

from collections.abc import Iterator
from functools import lru_cache

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

# Eight bytes that are 0 or 1, seen as one integer, times this: byte i becomes bit 56 + i.
GATHER = 0x0102040810204080
PIECE = 2**17  # elements, a multiple of 8


def bits_bytes(count: int) -> int:
    """Return the bytes that `count` packed bits take: ceil(count / 8)."""
    return -(-count // 8)


def pack_bits(
    row: Float[Tensor, " count"], ceiling: float | None = None
) -> UInt8[Tensor, " bytes"]:
    """Pack, eight elements a byte, where `row` is neither 0 nor `ceiling`; NaN is neither."""
    bits = row.new_empty(bits_bytes(row.numel()), dtype=torch.uint8)
    mask = row.new_empty(min(_piece(row), 8 * bits.numel()), dtype=torch.bool)
    work = row.new_empty(0 if ceiling is None else mask.numel())
    for start, stop in _pieces(row):
        part, count = row[start:stop], stop - start
        if ceiling is not None:
            # Subtraction and product are zero exactly at the two ends.
            part = torch.sub(part, ceiling, out=work[:count]).mul_(part)
        # Conversion to bool is several times faster than a comparison.
        mask[:count].copy_(part)
        padded = 8 * bits_bytes(count)
        mask[count:padded].zero_()
        eights = mask[:padded].view(torch.int64).mul_(GATHER).bitwise_right_shift_(56)
        bits[start // 8 : bits_bytes(stop)].copy_(eights)
    return bits


def unpack_bits(
    bits: UInt8[Tensor, " bytes"], count: int, dtype: torch.dtype
) -> Float[Tensor, " count"]:
    """Return `count` zeros and ones of type `dtype`."""
    return _table(dtype, bits.device).index_select(0, bits.to(torch.int32)).view(-1)[:count]


def in_memory_order(x: Float[Tensor, "..."]) -> Float[Tensor, " count"]:
    """View a dense tensor as one row in the order of its memory; copy one that is not dense."""
    if x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last):
        return x.permute(0, 2, 3, 1).reshape(-1)
    return x.reshape(-1)


def pass_where(
    bits: UInt8[Tensor, " bytes"],
    grad: Float[Tensor, "..."],
    channels_last: bool,
    *,
    in_place: bool = False,
) -> Float[Tensor, "..."]:
    """Return `grad` where the bit is set, else zero, even where `grad` is infinite or NaN.

    Args:
        bits: packed in memory order.
        grad: of any layout.
        channels_last: whether that memory order was channels-last.
        in_place: `grad` is nobody else's and may become the result.
    """
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    ordered = grad.contiguous(memory_format=memory_format)
    out = ordered if in_place or ordered is not grad else torch.empty_like(ordered)
    source, target = in_memory_order(ordered), in_memory_order(out)
    table = _table(grad.dtype, grad.device)
    places = bits.new_empty(bits_bytes(min(_piece(source), source.numel())), dtype=torch.int32)
    mask = source.new_empty(places.numel(), 8)
    for start, stop in _pieces(source):
        needed = bits[start // 8 : bits_bytes(stop)]
        rows = mask[: needed.numel()]
        torch.index_select(table, 0, places[: needed.numel()].copy_(needed), out=rows)
        torch.ops.aten.threshold_backward.grad_input(
            source[start:stop], rows.view(-1)[: stop - start], 0, grad_input=target[start:stop]
        )
    return out


def _pieces(row: Tensor) -> Iterator[tuple[int, int]]:
    step = _piece(row)
    for start in range(0, row.numel(), step):
        yield start, min(start + step, row.numel())


def _piece(row: Tensor) -> int:
    """Return how much to work on at once: on a GPU all, since each piece costs a launch."""
    return PIECE if row.device.type in ("cpu", "meta") else max(8 * bits_bytes(row.numel()), 8)


@lru_cache
def _table(dtype: torch.dtype, device: torch.device) -> Float[Tensor, "256 8"]:
    """Return the eight bits of each byte, lowest first."""
    numbers: Int[Tensor, "256 1"] = torch.arange(256, device=device)[:, None]
    return (numbers >> torch.arange(8, device=device) & 1).to(dtype)
