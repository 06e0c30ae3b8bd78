"""One image file becomes one 8-bit RGB image, or an error that names the file."""

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError

from addapt._errors import DataError
from addapt._paths import absent

# Pillow's own limit for a warning: a quarter of a GiB as RGB. Larger than any camera's
# image; a few bytes of PNG can declare more and take the whole memory when decoded.
MAX_PIXELS = 89_478_485

# What so many pixels of four 16-bit values take unpacked; some readers take the whole file into
# memory before they look at it.
MAX_FILE_BYTES = 8 * MAX_PIXELS

# The kinds to be read, as Pillow calls them. Anything else it can read stays closed, among it
# EPS, for which it would start an interpreter on whatever the file says.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")

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


@contextmanager
def open_image(path: Path) -> Iterator[Image.Image]:
    """Open the image in `path`, which reads its header; whatever lies there, this ends soon.

    Raises:
        DataError: the file cannot be read as an image, for whatever reason, or is too large. What
            is done with the image inside may find that, too.
    """
    try:
        with io.BufferedReader(_Unmapped(path, opener=_open_at_once)) as file:
            with Image.open(file, formats=FORMATS) as image:
                _check_size(path, image.size)
                yield image
    except DataError:
        raise
    except Exception as error:  # plugins raise whatever a broken file makes them trip over
        raise DataError(_explain(path, error)) from error


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
        raise DataError(_too_large(path, f"it takes {status.st_size:,} bytes", MAX_FILE_BYTES))


def read_image(path: Path, draft_px: int | None = None) -> Image.Image:
    """Read the image in `path` as 8-bit RGB, upright; of an animation, the first frame.

    Transparent parts become white. Deeper grey values become 8-bit as `_eight_bits` says.

    Args:
        path: the file; its content decides what it is, not its suffix.
        draft_px: a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, which is cheaper,
            as long as its shorter side keeps this many pixels.

    Raises:
        DataError: as `open_image`.
    """
    with open_image(path) as image:
        if draft_px is not None:
            image.draft(None, (draft_px, draft_px))
        image.load()
        turn = TURNS.get(_orientation(image))
        rgb = _to_rgb(image)
        return rgb if turn is None else rgb.transpose(turn)


def read_status(path: Path) -> os.stat_result:
    """Ask the system about the file in `path`.

    Raises:
        DataError: there is none, or it may not be asked about.
    """
    try:
        return path.stat()
    except OSError as error:
        raise DataError(_explain(path, error)) from error


def read_size(path: Path) -> tuple[int, int]:
    """Read the stored width and height of the image in `path`, from its header alone.

    Raises:
        DataError: as `open_image`.
    """
    with open_image(path) as image:
        return image.size


def _check_size(path: Path, size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        declared = f"it declares {width} x {height} pixels"
        raise DataError(_too_large(path, declared, MAX_PIXELS))
    if width * height == 0:
        raise DataError(f"The image {path} has no pixels ({width} x {height}). Remove it.")


def _orientation(image: Image.Image) -> int:
    # Asked for after load(): a PNG may hold it behind its pixels, and for TIFF Pillow has
    # turned the image by then and says so here.
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # a damaged EXIF block is no reason to refuse a sound image
        return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_eight_bits(np.asarray(image), image.mode)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _eight_bits(values: npt.NDArray[np.generic], mode: str) -> npt.NDArray[np.uint8]:
    """Scale grey values to 0..255.

    16-bit values, and 32-bit integers that all lie in 0..65535, lose their low byte: some
    versions of Pillow open a 16-bit file as 32-bit, and the bytes should not depend on that.
    Floats that all lie in 0..1 are taken as such. Everything else has no agreed range and is
    stretched from its own minimum..maximum; what is not a finite number becomes its nearest end.
    """
    if mode.startswith("I;16"):
        return (values.astype(np.uint16) >> 8).astype(np.uint8)
    wide = values.astype(np.float64)
    finite = wide[np.isfinite(wide)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if mode == "I" and low >= 0 and high <= 65535:
        return (values.astype(np.uint16) >> 8).astype(np.uint8)
    wide = np.nan_to_num(wide, nan=low, posinf=high, neginf=low)
    if mode == "F" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    spread = high - low or 1.0
    return np.rint((wide - low) / spread * 255).astype(np.uint8)


def _explain(path: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return absent(path, "image")
    if isinstance(error, PermissionError):
        return f"The image {path} may not be read. Give yourself permission to read it."
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return _too_large(path, "it declares more pixels", MAX_PIXELS)
    if isinstance(error, MemoryError):
        return f"The image {path} does not fit into memory. Scale it down."
    if isinstance(error, UnidentifiedImageError):
        return (
            f"{path} is not an image of a known kind, whatever its name says. "
            "Save it as JPEG or PNG, or remove it."
        )
    return (
        f"The image {path} is damaged, cut off, or of a kind that cannot be read "
        f"({error or type(error).__name__}). Copy it again, save it anew, or remove it."
    )


def _too_large(path: Path | str, size: str, limit: int) -> str:
    return f"The image {path} is too large: {size}, and {limit:,} are the limit. Scale it down."
