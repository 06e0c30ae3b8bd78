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


def split_validation(samples: Samples, fraction: float, seed: int) -> npt.NDArray[np.bool_]:
    """Choose among `samples` those to check on; from the others is learned.

    Every class is split alike, with at least one image on either side. The same seed gives
    the same split, whatever random numbers were drawn elsewhere.

    Raises:
        OptionError: `fraction` is not between 0 and 1.
        DataError: a class has one image only.
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
        if len(indices) == 1:
            raise DataError(
                f"The image {samples[indices[0]].path} is the only one of its class. At least "
                "two are needed: one to learn from and one to check on."
            )
        generator.shuffle(indices)
        count = min(max(round(len(indices) * fraction), 1), len(indices) - 1)
        chosen[indices[:count]] = True
    return chosen
