"""Texts of strangers cannot command a terminal."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addapt._text import natural_order, printable


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


@pytest.mark.parametrize(
    "ordered",
    [
        ["1", "2", "03", "10"],
        ["", "0", "00", "01", "1", "2a", "2b", "10a", "a", "a0", "a 9", "a 10", "B2", "b10"],
        ["9" * 5000, "1" + "0" * 5000],
        ["img9.2.png", "img9.10.png", "img10.1.png", "\u0663"],
    ],
)
def test_people_count_in_texts(ordered: list[str]) -> None:
    assert sorted(reversed(ordered), key=natural_order) == ordered


@given(st.lists(st.text("019a B.", max_size=5)))
def test_any_texts_have_one_order(texts: list[str]) -> None:
    found = sorted(texts, key=natural_order)
    assert sorted(reversed(texts), key=natural_order) == found
