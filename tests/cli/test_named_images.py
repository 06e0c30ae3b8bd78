"""Words of a command line become images: files, folders, patterns, and names that come later."""

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from addapt._errors import DataError, OptionError
from addapt.cli.named_images import MAX_NAME_BYTES, NamedImages, names_in


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go into a folder with some files, which nobody opens here."""
    names = "b.jpg a/z.png a/notes.txt a/deep/y.JPG a/.hidden.jpg .cache/x.jpg [1].jpg c d.jpeg"
    for name in names.split():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text")
    (tmp_path / "empty" / "in").mkdir(parents=True)
    (tmp_path / "empty" / "in" / "notes.txt").write_text("text")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(*words: str) -> list[str]:
    named = NamedImages([Path(word) for word in words])
    named.require_images()
    first = [str(path) for path in named]
    assert [str(path) for path in named] == first  # as often as is asked for
    return first


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["c", "gone.jpg", "b.jpg", "b.jpg"], ["c", "gone.jpg", "b.jpg", "b.jpg"]),
        (["a"], ["a/deep/y.JPG", "a/z.png"]),
        (["b.jpg", "a/deep"], ["b.jpg", "a/deep/y.JPG"]),
        (["*.jp*g"], ["[1].jpg", "b.jpg", "d.jpeg"]),
        (["[1].jpg"], ["[1].jpg"]),
        (["[ab].jpg"], ["b.jpg"]),
        (["?"], ["c"]),
        (["a/*"], ["a/notes.txt", "a/z.png"]),
        (["**/*.[jJ]*"], ["[1].jpg", "a/deep/y.JPG", "b.jpg", "d.jpeg"]),
        (["a/**"], ["a/deep/y.JPG", "a/notes.txt", "a/z.png"]),
        ([".cache/*"], [".cache/x.jpg"]),
    ],
)
def test_words(folder: Path, words: Sequence[str], expected: Sequence[str]) -> None:
    assert found(*words) == expected
    absolute = found(*(str(folder / word) for word in words))
    assert absolute == [str(folder / name) for name in expected]


def test_links_in_circles(folder: Path) -> None:
    for name in ("one", "other"):
        (folder / "a" / name).symlink_to(folder / "a")
    assert found("a/**/*.png") == ["a/z.png"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("empty", "The folder empty and the folders in it hold no images."),
        ("*.tif", r"No file matches \*\.tif\. Check the pattern"),
        ("gone/**/*.jpg", r"No file matches gone/\*\*/\*\.jpg"),
        ("emp*", r"No file matches emp\*"),
        ("[", r"No file matches \["),
    ],
)
def test_nothing_there(folder: Path, word: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        found("b.jpg", word)


def test_a_pattern_that_makes_no_sense(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, pattern: str) -> None:  # as some versions of Python do with **.jpg
        raise ValueError("Invalid pattern")

    monkeypatch.setattr(Path, "glob", refuse)
    with pytest.raises(DataError, match=r"\*\*\.jpg is no pattern of files: Invalid pattern\."):
        found("**.jpg")


def test_images_that_cannot_be_read_are_named_unless_a_camera_wrote_them_beside_others(
    tmp_path: Path,
) -> None:
    for name in ("a.jpg", "b.cr2", "b.JPG", "c.jxl", "d.cr2", "e.txt"):
        (tmp_path / name).write_bytes(b"\xff\x0a" if name == "c.jxl" else b"text")
    names = [path.name for path in NamedImages([tmp_path])]
    assert names == ["a.jpg", "b.JPG", "c.jxl", "d.cr2"]


class Slow(io.BytesIO):
    """Gives what was written piece by piece, as a pipe does."""

    def __init__(self, *pieces: bytes) -> None:
        super().__init__()
        self.pieces = list(pieces)

    def read1(self, size: int | None = -1) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""


@pytest.mark.parametrize(
    ("separator", "pieces", "expected"),
    [
        (
            b"\n",
            [b"a.jpg\nb c.jpg\r\n\n", b"d", b".j", b"pg\n e\n"],
            ["a.jpg", "b c.jpg", "d.jpg", " e"],
        ),
        (b"\n", [b"last"], ["last"]),
        (b"\n", [], []),
        (b"\0", [b"a\nb\0c\r", b"\0\0"], ["a\nb", "c\r"]),
    ],
)
def test_names(separator: bytes, pieces: list[bytes], expected: list[str]) -> None:
    assert [str(path) for path in names_in(Slow(*pieces), separator)] == expected


def test_names_that_are_not_text() -> None:
    (path,) = names_in(Slow(b"caf\xe9.jpg\n"), b"\n")
    assert os.fsencode(path) == b"caf\xe9.jpg"


def test_a_name_is_given_before_the_next_is_there() -> None:
    slow = Slow(b"a.jpg\nb.", b"jpg\n")
    coming = names_in(slow, b"\n")
    assert next(coming) == Path("a.jpg")
    assert len(slow.pieces) == 1


def test_a_stream_without_an_end() -> None:
    class Zeros(io.BytesIO):
        def read1(self, size: int | None = -1) -> bytes:
            return bytes(size or 0)

    with pytest.raises(DataError, match=r"without a break, .* with --null a zero byte"):
        next(names_in(Zeros(), b"\n"))
    with pytest.raises(DataError, match="without a break"):
        next(names_in(Slow(b"x" * (MAX_NAME_BYTES + 1)), b"\0"))


def test_standard_input_among_words(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"x.jpg\n*.jpg\na\n")))
    named = NamedImages([Path("c"), Path("-"), Path("b.jpg")])
    named.require_images()
    assert named.come_later
    assert [str(path) for path in named] == ["c", "x.jpg", "*.jpg", "a", "b.jpg"]
    assert not NamedImages([Path("c")]).come_later
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(OptionError, match="Standard input is closed"):
        list(named)
