"""Images that are looked at once: decoded a few at a time, and none kept."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np

from addapt._errors import DataError
from addapt.images.decode_many import decode_in_order
from addapt.images.deep_greys import ValueRange
from addapt.images.image_set import RESAMPLING, OnImage, check_loading, check_unreadable
from addapt.images.kept import Pixels
from addapt.images.samples import Sample, Samples


class OnePass:
    """Goes through images once, in batches that come with the numbers of their samples.

    Args:
        samples: the images; those that cannot be read are left out.
        px: side of the square each image is resized to.
        interpolation: "bicubic" or "bilinear", both with antialiasing.
        batch: images in memory at once; of the last batch there may be fewer.
        on_unreadable: told what is wrong with an image.
        threads: that decode, as `usable_threads` takes it.
        on_progress: called with how many of how many are decoded.
        value_range: what becomes 0..255 of grey values deeper than 8 bits.
        on_image: told the number, pixels and checksum of each image.

    Raises:
        DataError: there are no images.
        OptionError: `px` is below 1.
        UnknownNameError: no such interpolation.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        px: int,
        interpolation: str,
        batch: int,
        on_unreadable: Callable[[str], None],
        *,
        threads: int | None = None,
        on_progress: Callable[[int, int], None] | None = None,
        value_range: ValueRange = (),
        on_image: OnImage | None = None,
    ) -> None:
        check_loading(samples, px, interpolation)
        self.samples = Samples.of(samples)
        self._px, self._resampling = px, RESAMPLING[interpolation]
        self._batch, self._threads, self._value_range = batch, threads, value_range
        self._on_unreadable, self._on_progress = on_unreadable, on_progress
        self._on_image = on_image
        self._readable = np.ones(len(samples), np.bool_)

    def __iter__(self) -> Iterator[tuple[list[int], Pixels]]:
        left = iter(range(len(self.samples)))
        batch: list[tuple[int, Pixels]] = []
        # No more than a batch at a time: what is given is worked on while nothing is decoded.
        while numbers := list(islice(left, self._batch - len(batch))):
            batch += self._decode(numbers)
            if len(batch) == self._batch:
                yield _stacked(batch)
                batch = []
        if batch:
            yield _stacked(batch)

    def _decode(self, numbers: Sequence[int]) -> list[tuple[int, Pixels]]:
        found = []
        paths = [self.samples[number].path for number in numbers]
        decoded = decode_in_order(
            paths, self._px, self._resampling, self._threads, self._value_range
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")  # what matters becomes a message
            for number, image in zip(numbers, decoded, strict=True):
                if isinstance(image, DataError):
                    self._readable[number] = False
                    self._on_unreadable(str(image))
                else:
                    found.append((number, image[0]))
                    if self._on_image is not None:
                        self._on_image(number, image[0], image[1].crc32)
                if self._on_progress is not None:
                    self._on_progress(number + 1, len(self.samples))
        return found

    def refuse_many_unreadable(self, messages: Sequence[str]) -> None:
        """Do so after the pass, as `load_images` does; `messages` are what was told.

        Raises:
            DataError: they are more than `MAX_UNREADABLE_SHARE`, or all of one class.
        """
        check_unreadable(self.samples, self._readable, messages)


def _stacked(batch: Sequence[tuple[int, Pixels]]) -> tuple[list[int], Pixels]:
    return [number for number, _ in batch], np.stack([pixels for _, pixels in batch])
