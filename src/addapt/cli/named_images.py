"""The images that a command line names: files, folders, patterns, and names on standard input."""

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from addapt._errors import DataError, OptionError
from addapt._paths import is_address
from addapt.images import images_in

STANDARD_INPUT = Path("-")
PIECE_BYTES = 1 << 16
MAX_NAME_BYTES = 1 << 20  # far above any system's limit; else a stream without an end would stay


@dataclass(frozen=True)
class NamedImages:
    """Goes through the images named by `words`, in their order, as often as is asked for.

    But names on standard input, each before a `separator`, come once, and when they are there.
    """

    words: Sequence[Path]
    separator: bytes = b"\n"

    @property
    def come_later(self) -> bool:
        """Whether some are named on standard input."""
        return STANDARD_INPUT in self.words

    def __iter__(self) -> Iterator[Path]:
        for word in self.words:
            if word == STANDARD_INPUT:
                yield from names_in(_standard_input(), self.separator)
            elif word.is_dir():
                yield from images_in(word)
            elif _is_pattern(word):
                yield from _matches(word)
            else:
                yield word

    def require_images(self) -> None:
        """Refuse folders without images and patterns that match nothing, before any work.

        Raises:
            DataError: there are such.
        """
        for word in self.words:
            if word.is_dir():
                if next(images_in(word), None) is None:
                    raise DataError(f"The folder {word} and the folders in it hold no images.")
            elif _is_pattern(word) and not _matches(word):
                raise DataError(
                    f"No file matches {word}. Check the pattern; of a folder all images are taken."
                )


def names_in(stream: BinaryIO, separator: bytes) -> Iterator[Path]:
    """Yield the files that a stream names, each as soon as it is there.

    Raises:
        DataError: it does not hold names.
    """
    rest = b""
    while piece := _read_some(stream):
        *whole, rest = (rest + piece).split(separator)
        if len(rest) > MAX_NAME_BYTES:
            raise DataError(
                f"Standard input holds {len(rest):,} bytes without a break, which is no name of a "
                "file. Give one name a line, or with --null a zero byte after each."
            )
        yield from _paths(whole, separator)
    yield from _paths([rest], separator)


def _read_some(stream: BinaryIO) -> bytes:
    # What is there now, without waiting for more.
    piece: bytes = stream.read1(PIECE_BYTES)  # type: ignore[attr-defined]
    return piece


def _paths(names: Sequence[bytes], separator: bytes) -> Iterator[Path]:
    for name in names:
        if separator == b"\n":
            name = name.removesuffix(b"\r")
        if name:
            yield Path(os.fsdecode(name))


def _standard_input() -> BinaryIO:
    if sys.stdin is None:  # as some programs start others
        raise OptionError("Standard input is closed, and - means the names that come from there.")
    return sys.stdin.buffer


def _is_pattern(word: Path) -> bool:
    """Whether a word has wildcards and is no file that is really called so, and no address."""
    has_wildcards = any(sign in str(word) for sign in "*?[")
    return has_wildcards and not os.path.lexists(word) and not is_address(word)


def _matches(pattern: Path) -> list[Path]:
    """Return the files that match, sorted by path; hidden ones and folders do not count.

    Raises:
        DataError: it is no pattern.
    """
    fixed = next(i for i, part in enumerate(pattern.parts) if any(c in part for c in "*?["))
    base, rest = Path(*pattern.parts[:fixed]), Path(*pattern.parts[fixed:])
    if rest.name == "**":  # which alone means folders
        rest /= "*"
    try:
        found = {path for path in base.glob(str(rest)) if path.is_file()}
    except ValueError as error:
        raise DataError(f"{pattern} is no pattern of files: {error}.") from None
    hidden = (
        path for path in found if any(p.startswith(".") for p in path.parts[len(base.parts) :])
    )
    return sorted(found.difference(hidden))
