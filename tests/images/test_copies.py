"""Images of the same pixels are copies, however their files differ."""

import zlib
from collections.abc import Sequence

import numpy as np

from addapt.images.copies import SeenImages, first_of_copies, in_two_classes


def seen(images: Sequence[int | None]) -> SeenImages:
    """Note images of 16 px that are noise from a seed; None could not be read."""
    notes = SeenImages(len(images))
    for number, seed in enumerate(images):
        if seed is not None:
            generator = np.random.default_rng(seed)
            pixels = generator.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            notes.note(number, pixels, zlib.crc32(pixels.data))
    return notes


def test_what_is_noted() -> None:
    notes = seen([3, None, 3, 4])
    assert notes.known.tolist() == [True, False, True, True]
    assert notes.checksums[0] == notes.checksums[2] != notes.checksums[3]
    assert not notes.one_colour.any()
    notes.note(1, np.full((16, 16, 3), 9, np.uint8), 5)
    assert notes.one_colour.tolist() == [False, True, False, False]
    assert notes.greys[1].tolist() == [9] * 64


def test_equal_checksums_of_pixels_that_differ_are_no_copies() -> None:
    notes = SeenImages(2)
    for number, value in enumerate((10, 200)):
        notes.note(number, np.full((16, 16, 3), value, np.uint8), 2**32 - 1)
    assert first_of_copies(notes.checksums).tolist() == [0, 1]


def test_the_first_of_copies() -> None:
    notes = seen([5, 1, 5, 2, 1, 5])
    assert first_of_copies(notes.checksums).tolist() == [0, 1, 0, 3, 1, 0]
    assert first_of_copies(notes.checksums[:0]).tolist() == []


def test_all_copies_of_an_image_are_in_two_classes_if_one_is() -> None:
    first = np.array([0, 1, 0, 3, 1, 0])
    assert in_two_classes(first, np.array([0, 1, 0, 0, 1, 2])).nonzero()[0].tolist() == [0, 2, 5]
    assert not in_two_classes(first, np.array([0, 1, 0, 0, 1, 0])).any()
