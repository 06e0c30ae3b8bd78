"""The range that a folder's grey values deeper than 8 bits use, found from some of the images.

A camera of 10 bits, a microscope or a thermal camera fills a small part of a 16-bit file's range:
taken whole, its images would be black. One range is used for all images of a domain, as what is
brighter in one image than in another should stay so.
"""

import math
import os
import warnings
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from addapt._errors import DataError
from addapt.images.decode import open_image, read_head
from addapt.images.decode_many import usable_threads
from addapt.images.deep_greys import ValueRange, is_deep
from addapt.images.kinds import KIND_OF_SUFFIX, kind_of
from addapt.images.samples import Sample, Samples

LOOKED_AT = 256  # files of each ending whose headers are read
MEASURED = 24  # deep images that are decoded
MEASURED_PIXELS = 1_000_000  # of each
# Hot and dead pixels of a sensor are fewer than one of a thousand.
LEFT_OUT_PERCENT = 0.1
# What 16-bit values and those of floats may fill. Who uses half of that means all of it.
WHOLE_RANGES = ((0.0, 1.0), (0.0, 65535.0))

# What can be deep; of the others not even the first bytes are read.
_DEEP_KINDS = {"PNG", "TIFF", "PPM"}
_EIGHT_BIT_ENDINGS = {
    os.fsencode(suffix) for suffix, kind in KIND_OF_SUFFIX.items() if kind not in _DEEP_KINDS
}

_Places = npt.NDArray[np.int64]


def find_value_range(samples: Sequence[Sample], threads: int | None = None) -> ValueRange:
    """Return the lowest and the highest value of images deeper than 8 bits; empty if none is.

    Args:
        samples: of which some are looked at, evenly taken; those that cannot be read count nothing.
        threads: that decode, as `usable_threads` takes it.
    """
    samples = Samples.of(samples)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        paths = [samples[int(place)].path for place in _measured_places(samples)]
        with ThreadPoolExecutor(usable_threads(threads)) as pool:
            found = [ends for ends in pool.map(_ends_of, paths) if ends is not None]
    # An image of one value, such as one taken with the lid on, says nothing of the others.
    ranges = [(low, high) for low, high, _, _ in found if low < high]
    ranges = ranges or [(least, most) for _, _, least, most in found]
    low = min((low for low, _ in ranges), default=0.0)
    high = max((high for _, high in ranges), default=0.0)
    for start, end in WHOLE_RANGES:
        if start <= low and high <= end and high - low >= (end - start) / 2:
            return start, end
    return (low, high) if low < high else ()


def _measured_places(samples: Samples) -> _Places:
    """Return at most `MEASURED` of the deep images, of each class as many where that can be."""
    by_ending: dict[bytes, list[int]] = defaultdict(list)
    for place in range(len(samples)):
        ending = os.path.splitext(samples.name(place))[1].lower()  # noqa: PTH122 - of bytes
        if ending not in _EIGHT_BIT_ENDINGS:
            by_ending[ending].append(place)
    deep = [
        place
        for places in by_ending.values()
        for place in _spread(np.array(places), LOOKED_AT).tolist()
        if _is_deep(samples[place].path)
    ]
    places = np.array(sorted(deep), np.int64)
    labels = samples.labels[places]
    classes = np.unique(labels)
    of_each = [
        _spread(places[labels == label], max(1, MEASURED // len(classes))) for label in classes
    ]
    return _spread(np.concatenate([places[:0], *of_each]), MEASURED)


def _spread(places: _Places, most: int) -> _Places:
    return places[np.linspace(0, len(places) - 1, min(most, len(places))).astype(np.int64)]


def _is_deep(path: Path) -> bool:
    """Tell from the header whether an image is deeper than 8 bits."""
    try:
        head = read_head(path)
        kind = kind_of(head, path.name)
        if kind == "PNG":  # how many bits, and that they are grey; to open it takes longer
            return head[24:26] == b"\x10\0"
        if kind not in (None, *_DEEP_KINDS):
            return False
        with open_image(path) as opened:
            return is_deep(opened.image.mode)
    except DataError:
        return False


def _ends_of(path: Path) -> tuple[float, float, float, float] | None:
    """Return the lowest and the highest value of an image without a few at either end, and with."""
    try:
        with open_image(path) as opened:
            image = opened.image
            image.load()
            step = math.ceil(math.sqrt(image.width * image.height / MEASURED_PIXELS))
            values = np.asarray(image)[::step, ::step].copy()
    except DataError:
        return None
    finite = values[np.isfinite(values)]
    if not finite.size:
        return None
    return (
        float(np.percentile(finite, LEFT_OUT_PERCENT, method="higher")),
        float(np.percentile(finite, 100 - LEFT_OUT_PERCENT, method="lower")),
        float(finite.min()),
        float(finite.max()),
    )
