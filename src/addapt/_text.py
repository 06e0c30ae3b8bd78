"""Texts from strangers, such as names of files and classes, made safe to show."""

import re
from itertools import zip_longest

# What a terminal obeys, or what makes a line read as another one than it is: control characters
# (C0, DEL, C1), marks that turn the direction of writing, line separators, invisible tags, and
# surrogates, which stand for the bytes of a file's name that are not UTF-8.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)


def printable(text: str) -> str:
    r"""Write `text` as one line that a terminal or a page shows and does not obey.

    What is unsafe becomes its escape, such as \x1b; everything else stays as it is.
    """
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def natural_order(text: str) -> tuple[list[tuple[str, int, str]], str]:
    """Return what sorts texts as people count: 1, 2, 03, 10."""
    parts = re.split("([0-9]+)", text)  # text and digits in turns
    # Not as numbers, for Python makes none of thousands of digits: the longer one is larger.
    digits = [part.lstrip("0") for part in parts[1::2]]
    pairs = zip_longest(parts[::2], digits, fillvalue="")
    return [(words.casefold(), len(number), number) for words, number in pairs], text
