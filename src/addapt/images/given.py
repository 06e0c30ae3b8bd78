"""Images as people give them: files, images of Pillow, arrays; one or many, or still to come."""

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from addapt._errors import DataError
from addapt._paths import expanded
from addapt.images.decode import upright_rgb
from addapt.images.decode_many import decode_in_order
from addapt.images.deep_greys import ValueRange
from addapt.images.image_set import RESAMPLING
from addapt.images.kept import Pixels
from addapt.memory import lean_allocator

# Arrays are bytes (height, width, 3) of RGB, or (height, width) of grey.
Given: TypeAlias = str | os.PathLike[str] | Image.Image | npt.NDArray[np.uint8]

_REMEDY = "Give bytes (uint8): (height, width, 3) of RGB, or (height, width) of grey."


def in_groups(images: Given | Iterable[Given], most: int) -> Iterator[list[Given]]:
    """Yield images in groups of `most`, those of an iterator one by one.

    The next of an iterator may not be there before the last is answered, as that of a camera.
    """
    many = cast(Iterable[Given], [images] if _is_one(images) else images)
    several = 1 if isinstance(many, Iterator) else most
    left = iter(many)
    while group := list(islice(left, several)):
        yield [
            expanded(Path(image)) if isinstance(image, str | os.PathLike) else image
            for image in group
        ]


def _is_one(images: object) -> bool:
    if isinstance(images, np.ndarray):
        return images.ndim in (2, 3)
    return isinstance(images, str | os.PathLike | Image.Image)


def decode_given(
    images: Sequence[Given],
    px: int,
    interpolation: str,
    *,
    threads: int | None = None,
    value_range: ValueRange = (),
    first: int = 0,
) -> list[Pixels | DataError]:
    """Decode and resize images to squares of px x px, files on several threads.

    Those that cannot be used are errors in their places; what is no file is told by its number,
    counted from `first`. `value_range` becomes 0..255 of grey values deeper than 8 bits.
    """
    resampling = RESAMPLING[interpolation]
    paths = [image for image in images if isinstance(image, Path)]
    from_files = decode_in_order(paths, px, resampling, threads, value_range)
    found: list[Pixels | DataError] = []
    # What one thread frees another does not use: kept, it would pile up, image after image.
    with lean_allocator(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")  # what matters becomes a message
        for number, image in enumerate(images, first):
            if isinstance(image, Path):
                decoded = next(from_files)
                found.append(decoded if isinstance(decoded, DataError) else decoded[0])
            else:
                found.append(_resized(image, number, px, resampling, value_range))
    return found


def _resized(
    image: object, number: int, px: int, resampling: Image.Resampling, value_range: ValueRange
) -> Pixels | DataError:
    try:
        opened = _opened(image, f"Image number {number}, counted from 0,")
        opened.load()
        return np.array(upright_rgb(opened, value_range).resize((px, px), resampling))
    except DataError as error:
        return error
    except Exception as error:  # as of files, whatever a broken one makes Pillow trip over
        reason = error or type(error).__name__
        return DataError(f"Image number {number}, counted from 0, cannot be used ({reason}).")


def _opened(image: object, name: str) -> Image.Image:
    if isinstance(image, np.ndarray):
        is_image = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
        if image.dtype != np.uint8 or not is_image:
            raise DataError(
                f"{name} is an array of the shape {image.shape} and the type {image.dtype}. "
                f"{_REMEDY}"
            )
        size = image.shape[1::-1]
    elif isinstance(image, Image.Image):
        size = image.size
    else:
        raise DataError(
            f"{name} is of the type {type(image).__name__}: give a path, an image of Pillow or an "
            "array."
        )
    if 0 in size:
        raise DataError(f"{name} has no pixels ({size[0]} x {size[1]}).")
    return Image.fromarray(image) if isinstance(image, np.ndarray) else image
