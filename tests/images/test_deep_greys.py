"""Deep grey values become 8-bit by a range, in every mode alike."""

import numpy as np
import pytest
from PIL import Image

from addapt.images.deep_greys import is_deep, to_eight_bits

VALUES = [0, 290, 291, 492, 694, 695, 60_000]
EXPECTED = [0, 0, 0, 127, 255, 255, 255]


@pytest.mark.parametrize(
    ("mode", "dtype"),
    [("I;16", "<u2"), ("I;16B", ">u2"), ("I", "<i4"), ("F", "<f4")],
)
def test_every_mode_by_one_range(mode: str, dtype: str) -> None:
    assert is_deep(mode)
    values = np.array([VALUES], dtype)
    found = to_eight_bits(values, mode, (291.0, 694.0))
    assert found.dtype == np.uint8
    assert found.tolist() == [EXPECTED]
    assert values.tolist() == [VALUES]  # as they were


def test_what_is_no_number_is_the_lower_end() -> None:
    values = np.array([np.nan, np.inf, -np.inf, -3e38, 3e38], np.float32)
    assert to_eight_bits(values, "F", (-1.0, 1.0)).tolist() == [0, 255, 0, 0, 255]


def test_the_whole_range_is_as_near_as_can_be_to_the_high_byte() -> None:
    values = np.arange(65536, dtype=np.uint16)
    found = to_eight_bits(values, "I;16", (0.0, 65535.0)).astype(int)
    old = to_eight_bits(values, "I;16").astype(int)
    assert np.abs(found - old).max() == 1
    bytes_twice = np.arange(256) * 257  # how a byte is written with 16 bits
    assert found[bytes_twice].tolist() == old[bytes_twice].tolist() == list(range(256))


def test_modes_of_eight_bits() -> None:
    assert not any(map(is_deep, ("1", "L", "P", "RGB", "RGBA", "CMYK", "LA")))
    assert is_deep(Image.fromarray(np.zeros((1, 1), np.uint16)).mode)
