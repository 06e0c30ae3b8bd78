"""One bit an element: what backward keeps of a ReLU."""

from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

# Eight bytes that are 0 or 1, seen as one integer, times this: byte i becomes bit 56 + i.
GATHER = 0x0102040810204080


def bits_bytes(count: int) -> int:
    """Return the bytes that `count` packed bits take: ceil(count / 8)."""
    return -(-count // 8)


def pack_bits(mask: Bool[Tensor, " count"]) -> UInt8[Tensor, " bytes"]:
    """Pack a contiguous 1-D mask, eight elements a byte; `mask` is used up as working memory."""
    if mask.numel() % 8:
        mask = F.pad(mask, (0, -mask.numel() % 8))
    return mask.view(torch.int64).mul_(GATHER).bitwise_right_shift_(56).to(torch.uint8)


def unpack_bits(
    bits: UInt8[Tensor, " bytes"], count: int, dtype: torch.dtype
) -> Float[Tensor, " count"]:
    """Return `count` zeros and ones of type `dtype`."""
    return F.embedding(bits.to(torch.int32), _table(dtype, bits.device)).view(-1)[:count]


def in_memory_order(x: Float[Tensor, "..."]) -> Float[Tensor, " count"]:
    """View a dense tensor as one row in the order of its memory; copy one that is not dense."""
    if x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last):
        return x.permute(0, 2, 3, 1).reshape(-1)
    return x.reshape(-1)


def pass_where(
    bits: UInt8[Tensor, " bytes"], grad: Float[Tensor, "..."], channels_last: bool
) -> Float[Tensor, "..."]:
    """Return `grad` where the bit is set, else zero, even where `grad` is infinite or NaN.

    Args:
        bits: packed in memory order.
        grad: of any layout.
        channels_last: whether that memory order was channels-last.
    """
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    grad = grad.contiguous(memory_format=memory_format)
    mask = unpack_bits(bits, grad.numel(), grad.dtype)
    # The unpacked mask becomes the result: one full-size tensor less.
    flat = in_memory_order(grad)
    torch.ops.aten.threshold_backward.grad_input(flat, mask, 0, grad_input=mask)
    return mask.as_strided(grad.shape, grad.stride())


@lru_cache
def _table(dtype: torch.dtype, device: torch.device) -> Float[Tensor, "256 8"]:
    """Return the eight bits of each byte, lowest first."""
    bytes_ = torch.arange(256, device=device)[:, None]
    return (bytes_ >> torch.arange(8, device=device) & 1).to(dtype)
