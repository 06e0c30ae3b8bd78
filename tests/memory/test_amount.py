"""Amounts of memory, read and written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addapt._errors import OptionError
from addapt.memory import format_bytes, parse_bytes


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("1B", 1),
        ("2kB", 2000),
        ("512MB", 512_000_000),
        ("0.1GB", 100_000_000),
        ("2KiB", 2048),
        ("1.5MiB", 1_572_864),
        ("2GiB", 2 * 1024**3),
        (" 512 mb ", 512_000_000),
        ("1.0000000001kB", 1000),
    ],
)
def test_amounts_with_a_unit(text: str, count: int) -> None:
    assert parse_bytes(text) == count


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("512", "'512' has no unit. Write 512MB"),
        ("-1MB", "not a positive amount"),
        ("-1", "no unit"),
        ("0GB", "not a positive amount"),
        ("0.2B", "not a positive amount"),
        ("512M", "'M' in '512M' is not a unit of memory. Use one of B, kB, MB, GB, KiB"),
        ("512 parsecs", "'parsecs'"),
        ("lots", "'lots' is not an amount of memory. Write a number and a unit, such as 512MB"),
        ("", "not an amount"),
        ("MB", "not an amount"),
        ("nan MB", "not an amount"),
        ("1e3MB", "not an amount"),
        ("1,5GB", "not an amount"),
        ("1.MB", "not an amount"),
        ("٣MB", "not an amount"),
        ("1 2MB", "not an amount"),
    ],
)
def test_what_is_no_amount_is_refused_with_a_remedy(text: str, says: str) -> None:
    with pytest.raises(OptionError) as error:
        parse_bytes(text)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (12_800_000, "12.8 MB"),
        (12_844_000, "12.8 MB"),
        (420_000_000, "420 MB"),
        (999_999, "1 MB"),
        (1_311_000_000, "1.31 GB"),
        (5_000_000_000_000, "5000 GB"),
        (-1_500_000, "-1.5 MB"),
    ],
)
def test_amounts_in_words(count: int, text: str) -> None:
    assert format_bytes(count) == text


@given(st.integers(1, 10**14))
def test_an_amount_in_words_can_be_read_back(count: int) -> None:
    assert parse_bytes(format_bytes(count)) == pytest.approx(count, rel=0.005)
    assert count <= parse_bytes(format_bytes(count, round_up=True)) <= count * 1.0101
