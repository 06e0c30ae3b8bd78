"""Eight truths a byte, and gradients that pass where a bit is set."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from addapt.engines.torch.ops.bits import (
    bits_bytes,
    in_memory_order,
    pack_bits,
    pass_where,
    unpack_bits,
)

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
CHANNELS_LAST = torch.channels_last


@settings(max_examples=30, deadline=None, database=None, derandomize=True)
@given(st.lists(st.booleans(), max_size=200))
def test_packs_as_numpy_does_and_unpacks_again(truths: list[bool]) -> None:
    bits = pack_bits(torch.tensor(truths, dtype=torch.bool))
    assert bits.dtype == torch.uint8
    assert bits.untyped_storage().nbytes() == bits_bytes(len(truths)) == math.ceil(len(truths) / 8)
    assert bits.tolist() == np.packbits(np.array(truths, bool), bitorder="little").tolist()
    assert unpack_bits(bits, len(truths), torch.float32).tolist() == truths


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_byte(dtype: torch.dtype) -> None:
    bits = torch.arange(256, dtype=torch.uint8)
    ones = unpack_bits(bits, 2048, dtype)
    assert ones.dtype == dtype and torch.equal(pack_bits(ones.bool()), bits)


def test_memory_order_is_a_view_of_dense_tensors() -> None:
    x = torch.arange(120.0).view(2, 3, 4, 5)
    last = x.contiguous(memory_format=CHANNELS_LAST)
    for dense in (x, last, x[0], x[:1], torch.ones(2, 1, 3, 3), torch.ones(2, 3, 1, 1)):
        row = in_memory_order(dense)
        assert row.data_ptr() == dense.data_ptr()
        assert row.dim() == 1 and row.stride() == (1,) and row.numel() == dense.numel()
    assert in_memory_order(last)[:6].tolist() == [0, 20, 40, 1, 21, 41]
    sliced = in_memory_order(x[..., :2])
    assert sliced[:4].tolist() == [0, 1, 5, 6] and sliced.is_contiguous()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("shape", "channels_last"),
    [
        *itertools.product([(2, 3, 5, 7), (1, 1, 3, 3), (3, 8, 1, 1), (0, 3, 2, 2)], [True, False]),
        *[((3, 5), False), ((), False)],
    ],
)
def test_gradient_passes_where_the_bit_is_set(
    shape: tuple[int, ...], channels_last: bool, dtype: torch.dtype
) -> None:
    memory_format = CHANNELS_LAST if channels_last else torch.contiguous_format
    generator = torch.Generator().manual_seed(1)
    y = torch.randn(shape, generator=generator).contiguous(memory_format=memory_format)
    bits = pack_bits(in_memory_order(y) > 0)
    grad = torch.randn(shape, generator=generator).to(dtype)
    strided = torch.stack([grad, grad], dim=-1)[..., 0]
    for layout in (grad, strided, torch.ones((), dtype=dtype).expand(shape)):
        version = layout._version
        passed = pass_where(bits, layout, channels_last)
        assert torch.equal(passed, torch.where(y > 0, layout, 0))
        assert passed.is_contiguous(memory_format=memory_format)
        assert layout._version == version


def test_no_infinity_or_nan_comes_through_a_closed_bit() -> None:
    grad = torch.tensor([math.inf, -math.inf, math.nan] * 10)
    assert not pass_where(torch.zeros(4, dtype=torch.uint8), grad, channels_last=False).any()
    passed = pass_where(torch.full((4,), 255, dtype=torch.uint8), grad, channels_last=False)
    torch.testing.assert_close(passed, grad, rtol=0, atol=0, equal_nan=True)


def test_runs_without_data() -> None:
    grad = torch.empty(2, 3, 5, 7, device="meta")
    bits = pack_bits(in_memory_order(grad).bool())
    assert bits.shape == (27,) and pass_where(bits, grad, channels_last=False).shape == grad.shape
