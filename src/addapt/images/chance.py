"""What is left to chance, and comes out the same again: generators, and images set aside."""

from collections.abc import Sequence

import numpy as np

from addapt._errors import DataError, OptionError
from addapt.images.folder import Sample

ORDER, VARIATION, SPLIT = range(3)  # purposes: of an epoch's images, of a step's, of all


def generator_of(seed: int, purpose: int, number: int) -> np.random.Generator:
    """Make a generator that depends on these numbers alone, none negative; see the purposes above.

    `number` tells one epoch or step from another.
    """
    numbers = np.random.SeedSequence(seed, spawn_key=(purpose, number))
    # Not default_rng: which one that gives may change from version to version.
    return np.random.Generator(np.random.PCG64(numbers))


def split_validation(
    samples: Sequence[Sample], fraction: float, seed: int
) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """Split `samples` into those to learn from and those to check on, in their given order.

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
    of_class: dict[int, list[int]] = {}
    for i, sample in enumerate(samples):
        of_class.setdefault(sample.label, []).append(i)
    generator = generator_of(seed, SPLIT, 0)
    val: set[int] = set()
    for label in sorted(of_class):
        indices = of_class[label]
        if len(indices) == 1:
            raise DataError(
                f"The image {samples[indices[0]].path} is the only one of its class. At least "
                "two are needed: one to learn from and one to check on."
            )
        generator.shuffle(indices)
        count = min(max(round(len(indices) * fraction), 1), len(indices) - 1)
        val.update(indices[:count])
    return (
        tuple(sample for i, sample in enumerate(samples) if i not in val),
        tuple(sample for i, sample in enumerate(samples) if i in val),
    )
