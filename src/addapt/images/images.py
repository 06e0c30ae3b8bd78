"""All images of a set, decoded and resized once, and kept as far as the memory given allows."""

import math
import statistics
import warnings
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int64, UInt8
from PIL import Image
from torch import Tensor

from addapt._errors import DataError, OptionError, UnknownNameError
from addapt.images.decode import read_image, read_size, read_status
from addapt.images.folder import Sample

MAX_UNREADABLE_SHARE = 0.1
MAX_THREADS = 8  # each may hold one decoded image at its full size
IN_FLIGHT_PER_THREAD = 2  # one being decoded, one waiting to be fetched
RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}

Pixels = npt.NDArray[np.uint8]
Decoded = tuple[Pixels, "Origin"]

_PUT_BACK = "put it back as it was, and give the same command again."


class Origin(NamedTuple):
    """What an image's file was like just before it was read, and a checksum of what it gave."""

    size_bytes: int
    changed_ns: int
    crc32: int


class ImageSet:
    """Images of px x px pixels with their labels; made by `load_images`.

    The whole image is squeezed into the square and nothing is cropped: people frame what
    they photograph by hand, and what tells one class from another may touch the border.

    `cache` holds images as (images, px, px, 3), `rows[i]` the place of image i in it; a
    image whose row is -1 is decoded anew each time it is asked for, and has to be the same then.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        origins: Sequence[Origin],
        px: int,
        interpolation: str,
        cache: UInt8[Tensor, "m h w c"],
        rows: Int64[Tensor, " n"],
    ) -> None:
        self.samples = tuple(samples)
        self.origins = tuple(origins)
        self.paths: tuple[Path, ...] = tuple(sample.path for sample in samples)
        self.labels: Int64[Tensor, " n"] = torch.tensor(
            [sample.label for sample in samples], dtype=torch.int64
        )
        self.px = px
        self._interpolation = interpolation
        self._cache = cache
        self._rows = rows

    def __len__(self) -> int:
        return len(self.paths)

    def select(self, indices: Sequence[int]) -> "ImageSet":
        """Give a set of some of the images; the memory that keeps them is shared."""
        samples = [self.samples[i] for i in indices]
        origins = [self.origins[i] for i in indices]
        rows = self._rows[list(indices)]
        return ImageSet(samples, origins, self.px, self._interpolation, self._cache, rows)

    def batch(self, indices: Tensor | Sequence[int]) -> UInt8[Tensor, "n 3 px px"]:
        """Give the images at `indices`, in that order, channels last in memory.

        Raises:
            IndexError: an index is not in 0 ... len - 1.
            DataError: an image that was not kept can no longer be read, or is another one now.
        """
        wanted = torch.as_tensor(indices, dtype=torch.int64, device="cpu")
        if bool(((wanted < 0) | (wanted >= len(self))).any()):
            raise IndexError(f"indices {wanted.tolist()}, but there are {len(self)} images")
        rows = self._rows[wanted]
        cached = rows >= 0
        images = torch.empty((len(wanted), self.px, self.px, 3), dtype=torch.uint8)
        images[cached] = self._cache[rows[cached]]
        places = (~cached).nonzero().flatten().tolist()
        paths = [self.paths[int(wanted[place])] for place in places]
        decoded = _decode_in_order(paths, self.px, RESAMPLING[self._interpolation])
        for place, path, image in zip(places, paths, decoded, strict=True):
            if isinstance(image, DataError):
                raise DataError(f"{image} It was there before: {_PUT_BACK}") from image
            pixels, origin = image
            if origin.crc32 != self.origins[int(wanted[place])].crc32:
                raise DataError(f"The image {path} has changed since it was read: {_PUT_BACK}")
            images[place] = torch.from_numpy(pixels)
        return images.permute(0, 3, 1, 2)


def load_images(
    samples: Sequence[Sample],
    px: int,
    interpolation: str,
    cache_bytes: int = 1_000_000_000,
    refuse_many_unreadable: bool = True,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[ImageSet, tuple[str, ...]]:
    """Decode all images once; give those that can be read, and what is wrong with the others.

    Args:
        samples: the images; their order is kept.
        px: side of the square each image is resized to.
        interpolation: "bicubic" or "bilinear", both with antialiasing.
        cache_bytes: memory for decoded images, the first ones; 3 * px * px bytes each.
        refuse_many_unreadable: see Raises; otherwise the set may even be empty.
        on_progress: called with how many of how many are done, in the calling thread.

    Raises:
        DataError: more than `MAX_UNREADABLE_SHARE` of the images, or all of one class,
            cannot be read, and that is to be refused.
        OptionError: `px` or `cache_bytes` is out of range.
        UnknownNameError: no such interpolation.
    """
    if px < 1:
        raise OptionError(f"The image size is {px} px; it must be at least 1.")
    if cache_bytes < 0:
        raise OptionError(f"The memory for images is {cache_bytes} bytes; it cannot be negative.")
    if interpolation not in RESAMPLING:
        raise UnknownNameError("interpolation", interpolation, RESAMPLING)
    if not samples:
        raise DataError("There are no images to load.")
    slots = min(len(samples), cache_bytes // (3 * px * px))
    cache = torch.empty((slots, px, px, 3), dtype=torch.uint8)
    kept: list[Sample] = []
    origins: list[Origin] = []
    messages: list[str] = []
    decoded = _decode_in_order((sample.path for sample in samples), px, RESAMPLING[interpolation])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")  # what matters becomes a message of ours
        for done, (sample, image) in enumerate(zip(samples, decoded, strict=True), start=1):
            if isinstance(image, DataError):
                messages.append(str(image))
            else:
                pixels, origin = image
                if len(kept) < slots:
                    cache[len(kept)] = torch.from_numpy(pixels)
                kept.append(sample)
                origins.append(origin)
            if on_progress is not None:
                on_progress(done, len(samples))
    if refuse_many_unreadable:
        _check_unreadable(samples, kept, messages)
    rows = torch.arange(len(kept))
    rows[slots:] = -1
    return ImageSet(kept, origins, px, interpolation, cache, rows), tuple(messages)


def auto_image_px(samples: Sequence[Sample], native_px: int, floor_px: int = 96) -> int:
    """Choose an image size: the backbone's native one, or less for images that are smaller.

    The median of the images' longer sides, over up to 64 of them, rounded up to a multiple of
    16 and kept in `floor_px` ... `native_px`. Only headers are read; what cannot be read is
    skipped.
    """
    step = max(math.ceil(len(samples) / 64), 1)
    sides: list[int] = []
    for sample in samples[::step]:
        with suppress(DataError):
            sides.append(max(read_size(sample.path)))
    if not sides:
        return native_px
    rounded = math.ceil(statistics.median(sides) / 16) * 16
    return min(max(rounded, floor_px), native_px)


def _decode_in_order(
    paths: Iterable[Path], px: int, resampling: Image.Resampling
) -> Iterator[Decoded | DataError]:
    """Decode on several threads (Pillow releases the interpreter), a few images ahead."""
    threads = min(torch.get_num_threads(), MAX_THREADS)
    waiting: deque[Future[Decoded | DataError]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for path in paths:
            if len(waiting) == threads * IN_FLIGHT_PER_THREAD:
                yield waiting.popleft().result()
            waiting.append(pool.submit(_decode, path, px, resampling))
        while waiting:
            yield waiting.popleft().result()


def _decode(path: Path, px: int, resampling: Image.Resampling) -> Decoded | DataError:
    try:
        # before the reading, so that what changes meanwhile differs from what is told here
        status = read_status(path)
        # twice the size, for a JPEG shrunk by its decoder all the way looks softer
        image = read_image(path, draft_px=2 * px)
    except DataError as error:
        return error
    pixels = np.array(image.resize((px, px), resampling))
    return pixels, Origin(status.st_size, status.st_mtime_ns, zlib.crc32(pixels.data))


def _check_unreadable(
    samples: Sequence[Sample], kept: Sequence[Sample], messages: Sequence[str]
) -> None:
    if len(messages) > MAX_UNREADABLE_SHARE * len(samples):
        raise DataError(
            f"{len(messages)} of {len(samples)} images cannot be read, which is more than "
            f"{MAX_UNREADABLE_SHARE:.0%}. The first: {' '.join(messages[:3])}"
        )
    readable = {sample.label for sample in kept}
    for sample in samples:
        if sample.label not in readable:
            raise DataError(
                f"No image of the class in {sample.path.parent} can be read. "
                f"{' '.join(messages[:3])}"
            )
