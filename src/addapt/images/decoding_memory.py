"""How much memory decoding will take, told by the images' headers."""

import warnings
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import torch

from addapt.images.decode import MAX_PIXELS, open_image
from addapt.images.folder import Sample
from addapt.images.images import MAX_THREADS

# Pillow keeps 4 bytes a pixel of RGB, and there are up to three: as read, as RGB, turned upright.
PLAIN_BYTES = 12
# Transparency is put on white through several copies; deep greys are scaled as 64-bit numbers.
OTHER_BYTES = 48
# A progressive JPEG keeps all coefficients of its full size, three of 2 bytes a pixel at most.
PROGRESSIVE_BYTES = 6
PLAIN_FORMATS = {"JPEG", "PNG", "BMP", "PPM"}
PLAIN_MODES = {"1", "L", "P", "RGB", "CMYK"}


def decoding_bytes(samples: Iterable[Sample], px: int) -> int:
    """Return the most memory it takes to decode these images, as many at once as threads do.

    Only headers are read; images that cannot be read count nothing.

    Args:
        samples: the images.
        px: side of the squares they become.
    """
    largest = max((_image_bytes(sample.path, 2 * px) for sample in samples), default=0)
    return largest * min(torch.get_num_threads(), MAX_THREADS)


def _image_bytes(path: Path, draft_px: int) -> int:
    with warnings.catch_warnings(), suppress(Exception):  # plugins raise whatever they trip over
        warnings.filterwarnings("ignore", module="PIL")
        with open_image(path) as image:
            full = image.width * image.height
            if full > MAX_PIXELS:
                return 0  # refused before it is decoded
            plain = (
                image.format in PLAIN_FORMATS
                and image.mode in PLAIN_MODES
                and not image.has_transparency_data
            )
            progressive = PROGRESSIVE_BYTES * full if "progressive" in image.info else 0
            image.draft(None, (draft_px, draft_px))
            drafted = image.width * image.height
            return progressive + drafted * (PLAIN_BYTES if plain else OTHER_BYTES)
    return 0
