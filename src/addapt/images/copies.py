"""What is noted of images while they are decoded, and which of them are copies of others."""

import zlib

import numpy as np
import numpy.typing as npt

from addapt.images.kept import Pixels
from addapt.images.likeness import GREYS, Numbers, is_one_colour, mean_greys


class SeenImages:
    """Notes on images, by number: some 70 bytes each, of whatever size they are.

    Two images of one `checksums` are copies: they decode to the same pixels.
    """

    def __init__(self, images: int) -> None:
        self.known = np.zeros(images, np.bool_)
        self.checksums = np.zeros(images, np.uint64)
        self.greys = np.zeros((images, GREYS), np.uint8)
        self.one_colour = np.zeros(images, np.bool_)

    def note(self, number: int, pixels: Pixels, crc32: int) -> None:
        """Note what an image is like that was decoded; `crc32` is its pixels' checksum."""
        self.known[number] = True
        greys = self.greys[number] = mean_greys(pixels)
        # One checksum of 32 bits is not enough: among 50,000 images it is that of two different
        # ones in one case of four.
        self.checksums[number] = crc32 << 32 | zlib.crc32(greys.data)
        self.one_colour[number] = is_one_colour(pixels, greys)


def first_of_copies(checksums: npt.NDArray[np.uint64]) -> Numbers:
    """Return for each image the first that it is a copy of: itself if there is none before it."""
    _, first, group = np.unique(checksums, return_index=True, return_inverse=True)
    return first[group]


def in_two_classes(first: Numbers, labels: Numbers) -> npt.NDArray[np.bool_]:
    """Tell which images lie in two classes at once; `first` is as `first_of_copies` gives it."""
    return np.isin(first, first[labels != labels[first]])
