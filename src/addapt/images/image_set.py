"""All images of a set, decoded and resized once, and kept as far as there is room."""

import math
import statistics
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np
import numpy.typing as npt
from PIL import Image

from addapt._errors import DataError, OptionError, UnknownNameError
from addapt.images.decode import read_size
from addapt.images.decode_many import ORIGINS, Origin, decode_in_order
from addapt.images.deep_greys import ValueRange
from addapt.images.kept import KeptImages, Pixels, ScratchFile
from addapt.images.samples import Indices, Sample, Samples

MAX_UNREADABLE_SHARE = 0.1
FLOOR_PX = 160  # of sizes chosen automatically: networks see more in small images enlarged
RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}

OnImage = Callable[[int, Pixels, int], None]

_PUT_BACK = "put it back as it was, and give the same command again."


class ImageSet:
    """Images of px x px pixels with their labels; made by `load_images`.

    The whole image is squeezed into the square and nothing is cropped: people frame what
    they photograph by hand, and what tells one class from another may touch the border.

    The set has those at `indices` of the `samples` that were loaded; `kept` numbers them likewise.
    An image that is not kept is decoded anew each time it is asked for, and has to be the same
    then.
    """

    def __init__(
        self,
        samples: Samples,
        origins: npt.NDArray[np.void],
        interpolation: str,
        kept: KeptImages,
        indices: npt.NDArray[np.int64],
        value_range: ValueRange = (),
    ) -> None:
        self.indices = indices
        self.labels: npt.NDArray[np.int64] = samples.labels[indices]
        self.px = kept.px  # of the images that it gives
        self._samples, self._origins = samples, origins
        self._interpolation, self._value_range = interpolation, value_range
        self._kept = kept

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def samples(self) -> Samples:
        """The files and their classes."""
        return self._samples.select(self.indices)

    def name(self, place: int) -> bytes:
        """Return an image's path below the folder of all, as the system writes it."""
        return self._samples.name(self.indices[place])

    def origin(self, place: int) -> Origin:
        """Return what an image's file was like when it was read."""
        return Origin(*self._origins[self.indices[place]].item())

    @property
    def checksums(self) -> npt.NDArray[np.uint32]:
        """Those of the decoded images."""
        checksums: npt.NDArray[np.uint32] = self._origins["crc32"][self.indices]
        return checksums

    @property
    def warning(self) -> str | None:
        """Why images are decoded anew that should have been kept, in words."""
        return self._kept.warning

    def select(self, places: Indices) -> "ImageSet":
        """Give a set of some of the images; what keeps them is shared."""
        indices = self.indices[np.asarray(places, np.int64)]
        selected = ImageSet(
            self._samples,
            self._origins,
            self._interpolation,
            self._kept,
            indices,
            self._value_range,
        )
        selected.px = self.px
        return selected

    def relabelled(self, labels: npt.NDArray[np.int64]) -> "ImageSet":
        """Give the same set with new labels: those at the places of its old ones."""
        other = self.select(range(len(self)))
        other._samples = self._samples.relabelled(labels)
        other.labels = labels[self.labels]
        return other

    def resized(self, px: int) -> "ImageSet":
        """Give the same set with images of another size; what keeps them is shared."""
        other = self.select(range(len(self)))
        other.px = px
        return other

    def batch(self, places: Indices, threads: int | None = None) -> Pixels:
        """Give the images at `places` in the set, in that order: (n, px, px, 3).

        Args:
            places: of images.
            threads: they decode what was not kept.

        Raises:
            IndexError: a place is not in 0 ... len - 1.
            DataError: an image that was not kept can no longer be read, or is another one now.
        """
        wanted = np.asarray(places, dtype=np.int64)
        if ((wanted < 0) | (wanted >= len(self))).any():
            raise IndexError(f"indices {wanted.tolist()}, but there are {len(self)} images")
        numbers = self.indices[wanted].tolist()
        checksums = self._origins["crc32"][numbers].tolist()
        px = self._kept.px
        images = np.empty((len(numbers), px, px, 3), dtype=np.uint8)
        anew = [
            place
            for place, (number, checksum) in enumerate(zip(numbers, checksums, strict=True))
            if not self._kept.read(number, images[place], checksum)
        ]
        paths = [self._samples[numbers[place]].path for place in anew]
        resampling = RESAMPLING[self._interpolation]
        decoded = decode_in_order(paths, px, resampling, threads, self._value_range)
        for place, path, image in zip(anew, paths, decoded, strict=True):
            if isinstance(image, DataError):
                raise DataError(f"{image} It was there before: {_PUT_BACK}") from image
            pixels, origin = image
            if origin.crc32 != checksums[place]:
                raise DataError(f"The image {path} has changed since it was read: {_PUT_BACK}")
            images[place] = pixels
        return resize_images(images, self.px, self._interpolation)


def resize_images(images: Pixels, px: int, interpolation: str) -> Pixels:
    """Resize images (n, side, side, 3) to squares of px x px, with antialiasing.

    Where they become less than half as large, whole squares of pixels are averaged first. That
    takes two thirds of the time; whoever recognises them has to have learned them so.
    """
    if images.shape[1] == px:
        return images
    resampling, resized = RESAMPLING[interpolation], np.empty((len(images), px, px, 3), np.uint8)
    for place, image in enumerate(images):
        resized[place] = np.asarray(
            Image.fromarray(image).resize((px, px), resampling, reducing_gap=1)
        )
    return resized


def load_images(
    samples: Sequence[Sample],
    px: int,
    interpolation: str,
    cache_bytes: int = 1_000_000_000,
    refuse_many_unreadable: bool = True,
    on_progress: Callable[[int, int], None] | None = None,
    threads: int | None = None,
    aside: ScratchFile | None = None,
    value_range: ValueRange = (),
    on_image: OnImage | None = None,
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
        aside: takes decoded images for which there is no memory; without it they are not kept.
        value_range: what becomes 0..255 of grey values deeper than 8 bits.
        on_image: told the number, pixels and checksum of each image.

    Raises:
        DataError: more than `MAX_UNREADABLE_SHARE` of the images, or all of one class,
            cannot be read, and that is to be refused.
        OptionError: `px` or `cache_bytes` is out of range.
        UnknownNameError: no such interpolation.
    """
    if cache_bytes < 0:
        raise OptionError(f"The memory for images is {cache_bytes} bytes; it cannot be negative.")
    check_loading(samples, px, interpolation)
    samples = Samples.of(samples)
    in_memory = min(len(samples), cache_bytes // (3 * px * px))
    kept = KeptImages(np.empty((in_memory, px, px, 3), np.uint8), aside)
    origins = np.zeros(len(samples), ORIGINS)
    readable = np.ones(len(samples), np.bool_)
    messages: list[str] = []
    decoded = decode_in_order(samples.paths(), px, RESAMPLING[interpolation], threads, value_range)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")  # what matters becomes a message of ours
        for number, image in enumerate(decoded):
            if isinstance(image, DataError):
                messages.append(str(image))
                readable[number] = False
            else:
                pixels, origins[number] = image
                kept.keep(number, pixels)
                if on_image is not None:
                    on_image(number, pixels, int(origins["crc32"][number]))
            if on_progress is not None:
                on_progress(number + 1, len(samples))
    if refuse_many_unreadable:
        check_unreadable(samples, readable, messages)
    places = np.flatnonzero(readable)
    return ImageSet(samples, origins, interpolation, kept, places, value_range), tuple(messages)


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


def check_loading(samples: Sequence[Sample], px: int, interpolation: str) -> None:
    """Refuse what cannot be loaded; see `load_images`."""
    if px < 1:
        raise OptionError(f"The image size is {px} px; it must be at least 1.")
    if interpolation not in RESAMPLING:
        raise UnknownNameError("interpolation", interpolation, RESAMPLING)
    if not samples:
        raise DataError("There are no images to load.")


def check_unreadable(
    samples: Samples, readable: npt.NDArray[np.bool_], messages: Sequence[str]
) -> None:
    """Refuse too many images that cannot be read; `messages` say what is wrong with them.

    Raises:
        DataError: they are more than `MAX_UNREADABLE_SHARE`, or all of one class.
    """
    if len(messages) > MAX_UNREADABLE_SHARE * len(samples):
        raise DataError(
            f"{len(messages)} of {len(samples)} images cannot be read, which is more than "
            f"{MAX_UNREADABLE_SHARE:.0%}. The first: {' '.join(messages[:3])}"
        )
    of_lost_classes = np.flatnonzero(~np.isin(samples.labels, samples.labels[readable]))
    if len(of_lost_classes):
        folder = samples[int(of_lost_classes[0])].path.parent
        raise DataError(f"No image of the class in {folder} can be read. {' '.join(messages[:3])}")
