"""Many image files decoded at once: on several threads, in their order, and what that takes."""

import os
import warnings
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from addapt._errors import DataError, OptionError
from addapt.images.decode import open_image, read_image, read_status
from addapt.images.deep_greys import ValueRange

MAX_THREADS = 8  # each may hold one decoded image at its full size
IN_FLIGHT_PER_THREAD = 2  # one being decoded, one waiting to be fetched

# Pillow keeps 4 bytes a pixel of RGB, and there are up to three: as read, as RGB, turned upright.
PLAIN_BYTES = 12
# Transparency is put on white through several copies; deep greys are scaled as 64-bit numbers.
OTHER_BYTES = 48
# HEIC and AVIF are decoded in another colour space, of up to 16 bits, and then copied to Pillow.
CODED_BYTES = 20
PIXEL_BYTES = {
    **dict.fromkeys(("JPEG", "PNG", "BMP", "PPM"), PLAIN_BYTES),
    **dict.fromkeys(("HEIF", "AVIF"), CODED_BYTES),
}
PLAIN_MODES = {"1", "L", "P", "RGB", "CMYK"}


class Origin(NamedTuple):
    """What an image's file was like just before it was read, and a checksum of what it gave."""

    size_bytes: int
    changed_ns: int
    crc32: int


# The same as rows of an array, for many images.
ORIGINS = np.dtype([("size_bytes", np.int64), ("changed_ns", np.int64), ("crc32", np.uint32)])

Decoded = tuple[npt.NDArray[np.uint8], Origin]


def usable_threads(threads: int | None = None) -> int:
    """Return how many threads to work with on images.

    Args:
        threads: None means as many as this process may use processors; `MAX_THREADS` is the most.

    Raises:
        OptionError: `threads` is below 1.
    """
    if threads is None:
        # Absent on macOS and Windows.
        allowed = getattr(os, "sched_getaffinity", None)
        threads = len(allowed(0)) if allowed else os.cpu_count() or 1
    if threads < 1:
        raise OptionError(f"`threads` is {threads}: give at least 1.")
    return min(threads, MAX_THREADS)


def decode_in_order(
    paths: Iterable[Path],
    px: int,
    resampling: Image.Resampling,
    threads: int | None = None,
    value_range: ValueRange = (),
) -> Iterator[Decoded | DataError]:
    """Decode and resize to squares of px x px on several threads, a few images ahead.

    `value_range` becomes 0..255 of grey values deeper than 8 bits.
    """
    # Pillow releases the interpreter.
    threads = usable_threads(threads)
    waiting: deque[Future[Decoded | DataError]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for path in paths:
            if len(waiting) == threads * IN_FLIGHT_PER_THREAD:
                yield waiting.popleft().result()
            waiting.append(pool.submit(_decode, path, px, resampling, value_range))
        while waiting:
            yield waiting.popleft().result()


def _decode(
    path: Path, px: int, resampling: Image.Resampling, value_range: ValueRange
) -> Decoded | DataError:
    try:
        # before the reading, so that what changes meanwhile differs from what is told here
        status = read_status(path)
        # twice the size, for a JPEG shrunk by its decoder all the way looks softer
        image = read_image(path, 2 * px, value_range)
    except DataError as error:
        return error
    pixels = np.array(image.resize((px, px), resampling))
    return pixels, Origin(status.st_size, _in_64_bits(status.st_mtime_ns), zlib.crc32(pixels.data))


def _in_64_bits(number: int) -> int:
    """Cut off what a file system may know of times after the year 2262."""
    return (number + 2**63) % 2**64 - 2**63


def decoding_bytes(paths: Iterable[Path], px: int, threads: int | None = None) -> int:
    """Return the most memory it takes to decode images to px x px, as many at once as threads do.

    Only headers are read; images that cannot be read count nothing.
    """
    largest = max((_image_bytes(path, 2 * px) for path in paths), default=0)
    return largest * usable_threads(threads)


def _image_bytes(path: Path, draft_px: int) -> int:
    with warnings.catch_warnings(), suppress(DataError):
        warnings.filterwarnings("ignore", module="PIL")
        with open_image(path, draft_px) as (image, _, coefficient_bytes):
            pixel_bytes = OTHER_BYTES
            if image.mode in PLAIN_MODES and not image.has_transparency_data:
                pixel_bytes = PIXEL_BYTES.get(image.format or "", OTHER_BYTES)
            return coefficient_bytes + pixel_bytes * image.width * image.height
    return 0
