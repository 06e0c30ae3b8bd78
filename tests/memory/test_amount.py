"""Amounts of memory, read and written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addapt._errors import OptionError
from addapt.memory import format_bytes, parse_bytes


def test_amounts_with_a_unit() -> None:
    read = {"1B": 1, "2kB": 2000, "512MB": 512_000_000, "0.1GB": 100_000_000, "2KiB": 2048}
    read |= {"1.5MiB": 1_572_864, "2GiB": 2 * 1024**3, " 512 mb ": 512_000_000}
    read |= {"1.0000000001kB": 1000}
    assert {text: parse_bytes(text) for text in read} == read


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("512", "'512' has no unit. Write 512MB"),
        ("-1MB", "not a positive amount"),
        ("0.2B", "not a positive amount"),
        ("512M", "'M' in '512M' is not a unit of memory. Use one of B, kB, MB, GB, KiB"),
        *((text, "Write a number and a unit") for text in ("lots", "", "MB", "nan MB", "1,5GB")),
        *((text, "Write a number and a unit") for text in ("1e3MB", "1.MB", "٣MB", "1 2MB")),
    ],
)
def test_what_is_no_amount_is_refused_with_a_remedy(text: str, says: str) -> None:
    with pytest.raises(OptionError) as error:
        parse_bytes(text)
    assert says in str(error.value)


def test_amounts_in_words() -> None:
    written = {0: "0 B", 999: "999 B", 1000: "1 kB", 12_844_000: "12.8 MB", 999_999: "1 MB"}
    written |= {420_000_000: "420 MB", 1_311_000_000: "1.31 GB", 5 * 10**12: "5000 GB"}
    written |= {-1_500_000: "-1.5 MB"}
    assert {count: format_bytes(count) for count in written} == written


@given(st.integers(1, 10**14))
def test_an_amount_in_words_can_be_read_back(count: int) -> None:
    assert parse_bytes(format_bytes(count)) == pytest.approx(count, rel=0.005)
    assert count <= parse_bytes(format_bytes(count, round_up=True)) <= count * 1.0101
