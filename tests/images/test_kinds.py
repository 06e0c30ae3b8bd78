"""Kinds of images by their first bytes: what Pillow writes, and what others begin with."""

import io

import pytest
from PIL import Image

from addapt.images.kinds import HEAD_BYTES, HEIF, KIND_OF_SUFFIX, READABLE, kind_of


@pytest.mark.parametrize("kind", sorted(READABLE))
def test_what_pillow_writes_is_known(kind: str) -> None:
    file = io.BytesIO()
    Image.new("RGB", (20, 10), "teal").save(file, kind)
    assert kind_of(file.getvalue()[:HEAD_BYTES]) == kind


@pytest.mark.parametrize(
    ("head", "name", "kind"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a.jpg", "HEIF"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "a.avif", "AVIF"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1miaf", "a", "HEIF"),
        (b"\0\0\0\x18ftypqt  \0\0\0\0qt  ", "a.mov", None),
        (b"\0\0\0\x18ftypcrx \0\0\0\0crx isom", "a.cr3", "camera raw"),
        (b"II*\0\x10\0\0\0CR\x02", "a", "camera raw"),
        (b"MM\0*\0\0\0\x08", "a.NEF", "camera raw"),
        (b"MM\0*\0\0\0\x08", "a.tif", "TIFF"),
        (b"P5 16 16 255\n", "a", "PPM"),
        (b"P5th Avenue", "a.txt", None),
        (b"BMW is no bitmap", "a.txt", None),
        (b"\xff\x0a\x01", "a.jxl", "JPEG XL"),
        (b"gimp xcf v011", "a.xcf", "GIMP"),
        (b"<svg/>", "a.SVG", "SVG"),
        (b"\0\0\x02", "a.tga", "Targa"),
        (b"some words", "a.jpg", None),
        (b"", "a.dng", None),
        (b"P", "a", None),
    ],
)
def test_beginnings(head: bytes, name: str, kind: str | None) -> None:
    assert kind_of(head, name) == kind


def test_endings_stand_for_kinds_that_can_be_read() -> None:
    assert set(KIND_OF_SUFFIX.values()) == READABLE | {HEIF}
    assert all(suffix == suffix.lower() and suffix[0] == "." for suffix in KIND_OF_SUFFIX)
