"""Texts of strangers cannot command a terminal."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addapt._text import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("two\nlines\r\n\ttab\0", r"two\nlines\r\n\ttab\x00"),
        ("\x7f\x80\x9b31m\x9f", r"\x7f\x80\x9b31m\x9f"),
        ("gpj.\u202eexe", r"gpj.\u202eexe"),
        ("\u2066\u2069\u200e\u200f\u061c", r"\u2066\u2069\u200e\u200f\u061c"),
        ("\u2028\u2029", r"\u2028\u2029"),
        ("caf\udce9 \ud800", r"caf\udce9 \ud800"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_what_a_terminal_obeys_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize("text", ["", "Größe 3 · 日本 العربية 👍🏽", r"C:\new\x1b", "[bold]<b>&"])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert printable(text) == text


@given(st.text(st.characters(exclude_categories=()), max_size=50))
def test_the_result_is_one_line_in_every_encoding(text: str) -> None:
    shown = printable(text)
    assert {unicodedata.category(c) for c in shown}.isdisjoint({"Cc", "Cs", "Zl", "Zp"})
    assert len(shown.splitlines()) <= 1
    assert shown.encode().decode() == shown
    assert printable(shown) == shown
