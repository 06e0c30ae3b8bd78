"""One frame of a scene, and the small copy by which frames are compared."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from addapt.images import Given

# Means of red, green and blue over the cells of a grid, 0..255: (3, SMALL_PX * SMALL_PX). In
# colour, as a lamp that turns from red to green may look the same in grey.
Small: TypeAlias = npt.NDArray[np.float32]

SMALL_PX = 20


@dataclass(frozen=True)
class Frame:
    """What a camera, a video or a folder gives; nothing is computed before it is asked for.

    Args:
        number: among all frames of the source, from 0 on; those that were dropped count.
        at_s: when it was taken, in seconds: of a video since its beginning, else since 1970.
        image: makes the image itself.
        small: makes the small copy; None if the frame has nothing to do with the one before.
        file: where it is from, if it has a file of its own.
    """

    number: int
    at_s: float
    image: Callable[[], Given]
    small: Callable[[], Small] | None = None
    file: Path | None = None


def small_copy(pixels: npt.NDArray[np.uint8]) -> Small:
    """Return the means of cells of an image, (h, w, 3) of RGB or (h, w) of grey."""
    image = Image.fromarray(pixels).convert("RGB")
    return in_planes(np.asarray(image.resize((SMALL_PX, SMALL_PX), Image.Resampling.BOX)))


def in_planes(cells: npt.NDArray[np.uint8]) -> Small:
    """Bring the cells of a grid, (SMALL_PX, SMALL_PX, 3), into the order of a small copy."""
    return np.ascontiguousarray(cells.reshape(-1, 3).T, np.float32)
