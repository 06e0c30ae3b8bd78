"""Images that look like one another, such as copies at another size or quality: what tells them.

Each image becomes 8 x 8 mean greys. Two images are near copies when these differ by little next to
how much they differ within an image and from one image of the folder to another: so faces before
the same wall are none, nor are digits, nor what a fixed camera sees.
"""

import math

import numpy as np
import numpy.typing as npt

from addapt.images.kept import Pixels

GRID = 8
GREYS = GRID * GRID  # bytes an image

# Of the smaller of the two: the deviation within an image, and the usual distance between images.
# LOG.md has the distances of copies and of others, from which it was chosen.
NEAR = 0.05
LUMA = (0.299, 0.587, 0.114)  # JPEG keeps this better than the sum of the colours
LUMA_OF_ROW = np.tile(np.array(LUMA, np.float32), 256)
ONE_COLOUR_SPREAD = 2  # of 255, between the lowest and the highest value
CHECKED_AT_ONCE, LEARNED_AT_ONCE = 128, 512  # some MB
USUAL_IMAGES = 256  # whose distances tell which is usual

Greys = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]


def mean_greys(pixels: Pixels) -> Greys:
    """Return the mean greys of an image, (px, px, 3), in `GRID` x `GRID` fields, row by row.

    Fields are of one size, and the last pixels of a side that is no multiple of `GRID` in none.
    """
    side = len(pixels) // GRID
    if side == 0:
        return mean_greys(pixels.repeat(GRID, 0).repeat(GRID, 1))
    pixels = pixels[: GRID * side, : GRID * side]
    # 2,048 px, the most there are, have 256 rows a field, whose sums just fit into 16 bits. Few
    # calls of numpy, for those take longer than the sums.
    rows = pixels.reshape(GRID, side, -1).sum(1, dtype=np.uint16)
    sums = rows.reshape(GREYS, -1) @ LUMA_OF_ROW[: 3 * side]
    greys: Greys = np.rint(sums / (side * side)).astype(np.uint8)
    return greys


def is_one_colour(pixels: Pixels, greys: Greys) -> bool:
    """Whether all pixels of an image, (px, px, 3), are of one colour or nearly so.

    `greys` are its `mean_greys`.
    """
    some = greys.tolist()
    if max(some) - min(some) > ONE_COLOUR_SPREAD:
        return False
    # Whole rows first, which is several times as fast as going from pixel to pixel.
    rows = pixels.reshape(len(pixels), -1)
    low, high = (ends.reshape(-1, 3) for ends in (rows.min(0), rows.max(0)))
    return bool((high.max(0) - low.min(0) <= ONE_COLOUR_SPREAD).all())


def near_copies(
    greys: Greys, labels: Numbers, checked: Numbers, learned: Numbers
) -> dict[int, int]:
    """Find for images to check on one each to learn from that it is a near copy of.

    Where images of other classes are as near, it is not a copy: then all images look alike.

    Args:
        greys: of all images, (n, `GREYS`), as `mean_greys` gives them.
        labels: their classes.
        checked: the numbers of those to check on, in rising order, as the keys of what is found.
        learned: the numbers of those to learn from.
    """
    found: dict[int, int] = {}
    like_others: set[int] = set()
    usual = _usual_distance(greys, learned)
    for top in range(0, len(checked), CHECKED_AT_ONCE):
        ours = checked[top : top + CHECKED_AT_ONCE]
        for left in range(0, len(learned), LEARNED_AT_ONCE):
            theirs = learned[left : left + LEARNED_AT_ONCE]
            a, b = greys[ours], greys[theirs]
            near = _squares(a, b) < np.minimum(_limits(a, usual)[:, None], _limits(b, usual))
            for row in np.flatnonzero(near.any(1)).tolist():
                number, alike = int(ours[row]), theirs[near[row]]
                same = labels[alike] == labels[number]
                if not same.all():
                    like_others.add(number)
                elif number not in found:
                    found[number] = int(alike[0])
    return {number: found[number] for number in sorted(found.keys() - like_others)}


def _squares(some: Greys, others: Greys) -> npt.NDArray[np.float32]:
    """Squared distances (n, m): whole numbers below 2**24, so all are exact."""
    a, b = some.astype(np.float32), others.astype(np.float32)
    squares = a @ b.T
    squares *= -2
    squares += np.square(a).sum(1)[:, None]
    squares += np.square(b).sum(1)
    return squares


def _limits(greys: Greys, usual: float) -> npt.NDArray[np.float32]:
    """How far another image may be at most, squared, to be a near copy; 0 for one colour."""
    within = greys.std(1, dtype=np.float32) * math.sqrt(GREYS)
    limits: npt.NDArray[np.float32] = np.square(NEAR * np.minimum(within, np.float32(usual)))
    return limits


def _usual_distance(greys: Greys, numbers: Numbers) -> float:
    some = greys[numbers[:: math.ceil(len(numbers) / USUAL_IMAGES) or 1]]
    pairs = _squares(some, some)[np.triu_indices(len(some), 1)]
    return math.sqrt(np.median(pairs)) if pairs.size else 0.0
