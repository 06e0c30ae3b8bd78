"""All images of a set, decoded and resized once, and kept as far as the memory given allows."""

import math
import statistics
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np
from jaxtyping import Int64, UInt8
from numpy import ndarray
from PIL import Image

from addapt._errors import DataError, OptionError, UnknownNameError
from addapt.images.decode import read_size
from addapt.images.decode_many import Origin, decode_in_order
from addapt.images.folder import Sample

MAX_UNREADABLE_SHARE = 0.1
FLOOR_PX = 96  # of sizes chosen automatically
RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}

_PUT_BACK = "put it back as it was, and give the same command again."


class ImageSet:
    """Images of px x px pixels with their labels; made by `load_images`.

    The whole image is squeezed into the square and nothing is cropped: people frame what
    they photograph by hand, and what tells one class from another may touch the border.

    `cache` holds images as (images, px, px, 3), `rows[i]` the place of image i in it; an
    image whose row is -1 is decoded anew each time it is asked for, and has to be the same then.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        origins: Sequence[Origin],
        px: int,
        interpolation: str,
        cache: UInt8[ndarray, "m px px 3"],
        rows: Int64[ndarray, " n"],
    ) -> None:
        self.samples = tuple(samples)
        self.origins = tuple(origins)
        self.labels: Int64[ndarray, " n"] = np.array([sample.label for sample in samples], np.int64)
        self.px = px
        self._interpolation = interpolation
        self._cache = cache
        self._rows = rows

    def __len__(self) -> int:
        return len(self.samples)

    def select(self, indices: Sequence[int]) -> "ImageSet":
        """Give a set of some of the images; the memory that keeps them is shared."""
        samples = [self.samples[i] for i in indices]
        origins = [self.origins[i] for i in indices]
        rows = self._rows[np.asarray(indices, np.int64)]
        return ImageSet(samples, origins, self.px, self._interpolation, self._cache, rows)

    def batch(
        self, indices: Int64[ndarray, " n"] | Sequence[int], threads: int | None = None
    ) -> UInt8[ndarray, "n px px 3"]:
        """Give the images at `indices`, in that order; `threads` decode what was not kept.

        Raises:
            IndexError: an index is not in 0 ... len - 1.
            DataError: an image that was not kept can no longer be read, or is another one now.
        """
        wanted = np.asarray(indices, dtype=np.int64)
        if ((wanted < 0) | (wanted >= len(self))).any():
            raise IndexError(f"indices {wanted.tolist()}, but there are {len(self)} images")
        rows = self._rows[wanted]
        cached = rows >= 0
        images = np.empty((len(wanted), self.px, self.px, 3), dtype=np.uint8)
        images[cached] = self._cache[rows[cached]]
        places = (~cached).nonzero()[0]
        paths = [self.samples[i].path for i in wanted[places]]
        decoded = decode_in_order(paths, self.px, RESAMPLING[self._interpolation], threads)
        for place, path, image in zip(places, paths, decoded, strict=True):
            if isinstance(image, DataError):
                raise DataError(f"{image} It was there before: {_PUT_BACK}") from image
            pixels, origin = image
            if origin.crc32 != self.origins[wanted[place]].crc32:
                raise DataError(f"The image {path} has changed since it was read: {_PUT_BACK}")
            images[place] = pixels
        return images


def load_images(
    samples: Sequence[Sample],
    px: int,
    interpolation: str,
    cache_bytes: int = 1_000_000_000,
    refuse_many_unreadable: bool = True,
    on_progress: Callable[[int, int], None] | None = None,
    threads: int | None = None,
) -> tuple[ImageSet, tuple[str, ...]]:
    """Decode all images once; give those that can be read, and what is wrong with the others.

    Args:
        samples: the images; their order is kept.
        px: side of the square each image is resized to.
        interpolation: "bicubic" or "bilinear", both with antialiasing.
        cache_bytes: memory for decoded images, the first ones; 3 * px * px bytes each.
        refuse_many_unreadable: see Raises; otherwise the set may even be empty.
        on_progress: called with how many of how many are done, in the calling thread.
        threads: that decode, as `usable_threads` takes it.

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
    cache = np.empty((slots, px, px, 3), dtype=np.uint8)
    kept: list[Sample] = []
    origins: list[Origin] = []
    messages: list[str] = []
    paths = (sample.path for sample in samples)
    decoded = decode_in_order(paths, px, RESAMPLING[interpolation], threads)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")  # what matters becomes a message of ours
        for done, (sample, image) in enumerate(zip(samples, decoded, strict=True), start=1):
            if isinstance(image, DataError):
                messages.append(str(image))
            else:
                pixels, origin = image
                if len(kept) < slots:
                    cache[len(kept)] = pixels
                kept.append(sample)
                origins.append(origin)
            if on_progress is not None:
                on_progress(done, len(samples))
    if refuse_many_unreadable:
        _check_unreadable(samples, kept, messages)
    rows = np.arange(len(kept), dtype=np.int64)
    rows[slots:] = -1
    return ImageSet(kept, origins, px, interpolation, cache, rows), tuple(messages)


def auto_image_px(samples: Sequence[Sample], native_px: int) -> int:
    """Choose an image size: the backbone's native one, or less for images that are smaller.

    The median of the images' longer sides, over up to 64 of them, rounded up to a multiple of
    16 and kept in `FLOOR_PX` ... `native_px`. Only headers are read; what cannot be read is
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
    return min(max(rounded, FLOOR_PX), native_px)


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
