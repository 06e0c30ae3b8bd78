"""One image file becomes one 8-bit RGB image, or an error that names the file."""

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image

from addapt._errors import DataError
from addapt.images.deep_greys import ValueRange, is_deep, to_eight_bits
from addapt.images.heif import enable_heif
from addapt.images.jpeg import coefficient_bytes, open_jpeg
from addapt.images.kinds import HEAD_BYTES, HEIF, kind_of
from addapt.images.listing import is_readable
from addapt.images.refusals import closed, too_large, too_large_progressive, unread

# Pillow's own limit for a warning: a quarter of a GiB as RGB. A few bytes of PNG can declare more
# and take the whole memory when decoded. JPEGs of phones have more, but are decoded at a fraction.
MAX_PIXELS = 89_478_485

# What an image of so many pixels takes while it is decoded, as read, as RGB and turned upright.
MAX_COEFFICIENT_BYTES = 12 * MAX_PIXELS

# What so many pixels of four 16-bit values take unpacked; some readers take the whole file into
# memory before they look at it.
MAX_FILE_BYTES = 8 * MAX_PIXELS

# What Pillow may take a file for whose kind is not known by its first bytes. Anything else it can
# read stays closed, among it EPS, for which it would start an interpreter on whatever it says.
FORMATS = ("PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")

# EXIF orientation -> what brings the image upright; 1 is upright already
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class _Unmapped(io.FileIO):
    """A file that Pillow cannot map into memory, as it does with some kinds.

    If a mapped file is cut short, the system ends the process that reads it.
    """

    def fileno(self) -> int:
        raise io.UnsupportedOperation("fileno")


class OpenImage(NamedTuple):
    """An image whose header was read: its stored size, and what `jpeg.coefficient_bytes` says.

    `image` may have a smaller size, at which it will be decoded.
    """

    image: Image.Image
    size: tuple[int, int]
    coefficient_bytes: int


@contextmanager
def open_image(path: Path, draft_px: int | None = None) -> Iterator[OpenImage]:
    """Open the image in `path`, which reads its header; whatever lies there, this ends soon.

    Args:
        path: the file; its content decides what it is, not its name.
        draft_px: a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, which is cheaper,
            as long as its shorter side keeps this many pixels.

    Raises:
        DataError: the file cannot be read as an image, for whatever reason, or is too large. What
            is done with the image inside may find that, too.
    """
    try:
        with io.BufferedReader(_Unmapped(path, opener=_open_at_once)) as file:
            kind = kind_of(file.peek(HEAD_BYTES)[:HEAD_BYTES], path.name)
            if kind is not None and not is_readable(kind):
                raise DataError(closed(path, kind))
            if kind == "JPEG":
                with open_jpeg(file) as image:
                    size, kept_bytes = image.size, coefficient_bytes(image, file)
                    if draft_px is not None:
                        image.draft(None, (draft_px, draft_px))
                    _check_size(path, image.size)
                    if kept_bytes > MAX_COEFFICIENT_BYTES:
                        raise DataError(too_large_progressive(path, size))
                    yield OpenImage(image, size, kept_bytes)
            else:
                if kind == HEIF:
                    enable_heif()
                with Image.open(file, formats=FORMATS if kind is None else (kind,)) as image:
                    _check_size(path, image.size)
                    yield OpenImage(image, image.size, 0)
    except DataError:
        raise
    except Exception as error:  # plugins raise whatever a broken file makes them trip over
        raise DataError(unread(path, error, MAX_PIXELS)) from error


def read_head(path: Path) -> bytes:
    """Read the first `HEAD_BYTES` of a file, or all if there are fewer.

    Raises:
        DataError: it is none that can be read.
    """
    try:
        with io.FileIO(path, opener=_open_at_once) as file:
            return file.read(HEAD_BYTES) or b""
    except OSError as error:
        raise DataError(unread(path, error, MAX_PIXELS)) from error


def _open_at_once(path: str, flags: int) -> int:
    # To open a pipe would wait until someone writes into it, unless told not to.
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    try:
        _check_file(path, os.fstat(descriptor))
    except DataError:
        os.close(descriptor)
        raise
    return descriptor


def _check_file(path: str, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise DataError(f"{path} is a folder, not an image.")
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{path} is a pipe or a device, not an image. Remove it.")
    if status.st_size == 0:
        raise DataError(f"The image {path} is empty (0 bytes). Copy it again, or remove it.")
    if status.st_size > MAX_FILE_BYTES:
        raise DataError(too_large(path, f"it takes {status.st_size:,} bytes", MAX_FILE_BYTES))


def read_image(
    path: Path, draft_px: int | None = None, value_range: ValueRange = ()
) -> Image.Image:
    """Read the image in `path` as 8-bit RGB, upright; of an animation, the first frame.

    Transparent parts become white. Deeper grey values become 8-bit as `to_eight_bits` says.

    Args:
        path: the file; its content decides what it is, not its suffix.
        draft_px: as of `open_image`.
        value_range: what becomes 0..255 of deeper grey values.

    Raises:
        DataError: as `open_image`.
    """
    with open_image(path, draft_px) as opened:
        image = opened.image
        image.load()
        _check_size(path, image.size)  # some formats may say another one in their header
        return upright_rgb(image, value_range)


def upright_rgb(image: Image.Image, value_range: ValueRange = ()) -> Image.Image:
    """Turn a loaded image upright as its EXIF data say, and make it 8-bit RGB; see `read_image`."""
    turn = TURNS.get(_orientation(image))
    rgb = _to_rgb(image, value_range)
    return rgb if turn is None else rgb.transpose(turn)


def read_status(path: Path) -> os.stat_result:
    """Ask the system about the file in `path`.

    Raises:
        DataError: there is none, or it may not be asked about.
    """
    try:
        return path.stat()
    except OSError as error:
        raise DataError(unread(path, error, MAX_PIXELS)) from error


def read_size(path: Path) -> tuple[int, int]:
    """Read the stored width and height of the image in `path`, from its header alone.

    Raises:
        DataError: as `open_image`.
    """
    with open_image(path, draft_px=1) as opened:
        return opened.size


def _check_size(path: Path, size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        declared = f"it declares {width} x {height} pixels"
        raise DataError(too_large(path, declared, MAX_PIXELS))
    if width * height == 0:
        raise DataError(f"The image {path} has no pixels ({width} x {height}). Remove it.")


def _orientation(image: Image.Image) -> int:
    # Asked for after load(): a PNG may hold it behind its pixels, and for TIFF Pillow has
    # turned the image by then and says so here.
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # a damaged EXIF block is no reason to refuse a sound image
        return 1


def _to_rgb(image: Image.Image, value_range: ValueRange) -> Image.Image:
    if is_deep(image.mode):
        values = to_eight_bits(np.asarray(image), image.mode, value_range)
        return Image.fromarray(values).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")
