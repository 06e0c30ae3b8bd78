"""What is left to chance, and comes out the same again: generators, and images set aside."""

import numpy as np
import numpy.typing as npt

from addapt._errors import DataError, OptionError
from addapt.images.samples import Samples

ORDER, VARIATION, SPLIT = range(3)  # purposes: of an epoch's images, of a step's, of all


def generator_of(seed: int, purpose: int, number: int) -> np.random.Generator:
    """Make a generator that depends on these numbers alone, none negative; see the purposes above.

    `number` tells one epoch or step from another.
    """
    numbers = np.random.SeedSequence(seed, spawn_key=(purpose, number))
    # Not default_rng: which one that gives may change from version to version.
    return np.random.Generator(np.random.PCG64(numbers))


def split_validation(
    samples: Samples, fraction: float, seed: int, groups: npt.NDArray[np.int64] | None = None
) -> npt.NDArray[np.bool_]:
    """Choose among `samples` those to check on; from the others is learned.

    Every class is split alike, with at least one image on either side. The same seed gives
    the same split, whatever random numbers were drawn elsewhere.

    Args:
        samples: each of one class.
        fraction: of a class, as near as can be.
        seed: a whole number.
        groups: a number for each sample; those of the same one stay on one side, such as copies.

    Raises:
        OptionError: `fraction` is not between 0 and 1.
        DataError: a class has one image only, or one group.
    """
    if not 0 < fraction < 1:
        raise OptionError(
            f"The share of images to check on is {fraction}; it must lie between 0 and 1, "
            "such as 0.2."
        )
    generator = generator_of(seed, SPLIT, 0)
    chosen = np.zeros(len(samples), np.bool_)
    for label in np.unique(samples.labels):
        indices = np.flatnonzero(samples.labels == label)
        of_group = indices if groups is None else groups[indices]
        _, first, group, sizes = np.unique(
            of_group, return_index=True, return_inverse=True, return_counts=True
        )
        if len(sizes) == 1:
            others = f", apart from {len(indices) - 1} copies of it" if len(indices) > 1 else ""
            raise DataError(
                f"The image {samples[indices[0]].path} is the only one of its class{others}. At "
                "least two are needed: one to learn from and one to check on."
            )
        order = np.argsort(first)
        generator.shuffle(order)
        wanted = min(max(round(len(indices) * fraction), 1), len(indices) - 1)
        chosen[indices] = _dealt(sizes[order], wanted)[np.argsort(order)][group]
    return chosen


def _dealt(sizes: npt.NDArray[np.int64], wanted: int) -> npt.NDArray[np.bool_]:
    """Choose groups, in their order as far as they fit, of about so many images together."""
    chosen = np.zeros(len(sizes), np.bool_)
    left = wanted
    for place, size in enumerate(sizes.tolist()):
        if size <= left:
            chosen[place] = True
            left -= size
    others = np.flatnonzero(~chosen)
    smallest = others[sizes[others].argmin()]
    # A little too many may be nearer than too few, but never none, and never all.
    if not chosen.any() or (len(others) > 1 and sizes[smallest] - left < left):
        chosen[smallest] = True
    return chosen
