"""What copies, and images of one colour, do to a lesson: what is left out, refused and told."""

import os
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from addapt._errors import DataError
from addapt.images import (
    ImageSet,
    Samples,
    SeenImages,
    first_of_copies,
    in_two_classes,
    near_copies,
)

MAX_SHARE_IN_TWO_CLASSES = 0.1
MIN_NEAR_SHARE = 0.01  # of the images to validate with; one in hundreds may be chance
ONE_COLOUR_SHARE = 0.5
NAMED = 3

Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class WithoutCopies:
    """The images that are left, and what was found out about copies.

    `groups` has one number for all copies of an image. `own_val`: there are images to validate
    with, as the folder has them. `copies` counts the images that had others before them of which
    they are copies.
    """

    images: ImageSet
    groups: Places
    own_val: bool
    copies: int
    warnings: tuple[str, ...]


def sort_out_copies(
    images: ImageSet, train_images: int, classes: tuple[str, ...], seen: SeenImages
) -> WithoutCopies:
    """Leave out what lies in two classes, and what is there to learn from and to validate with.

    Args:
        images: all that could be read.
        train_images: so many, of all that were loaded, are there to learn from.
        classes: their names.
        seen: what was noted of all that were loaded.

    Raises:
        DataError: more than a tenth of a class lies in another class as well.
    """
    of_one_colour = _warn_of_one_colour(images, classes, seen)
    first = first_of_copies(seen.checksums[images.indices])
    copies = len(first) - len(np.unique(first))
    in_val = images.indices >= train_images
    own_val = train_images < len(seen.known)
    twice = in_two_classes(first, images.labels)
    warnings = [
        *of_one_colour,
        *_judge_two_classes(
            images, classes, first, twice, "".join(f" {said}" for said in of_one_colour)
        ),
    ]
    learned_too = in_val & ~twice & np.isin(first, first[~in_val & ~twice])
    left = ~twice & ~learned_too
    if learned_too.any():
        pair = int(np.flatnonzero(learned_too)[0])
        warnings.append(
            f"{_of(learned_too.sum(), in_val.sum())} images to validate with are copies of images "
            f"to learn from (first: {_pair(images, pair, first)}). They are left out, for they "
            "would tell nothing."
        )
    if in_val.any() and not (in_val & left).any():
        own_val = False
        warnings.append(
            "No images to validate with are left: a part of the images to learn from is held out "
            "instead."
        )
    repeated = left & (first != np.arange(len(first)))
    if repeated.any():
        what = "each counts as often as it is there" if own_val else "copies stay on one side"
        pair = int(np.flatnonzero(repeated)[0])
        warnings.append(
            f"{_of(repeated.sum(), left.sum())} images are copies of others (first: "
            f"{_pair(images, pair, first)}); {what}."
        )
    places = np.flatnonzero(left)
    return WithoutCopies(images.select(places), first[places], own_val, copies, tuple(warnings))


def warn_of_near_copies(
    samples: Samples, train: ImageSet, val: ImageSet, seen: SeenImages
) -> tuple[str, ...]:
    """Say if images to validate with look like images to learn from; `samples` are all."""
    found = near_copies(seen.greys, samples.labels, val.indices, train.indices)
    if len(found) < max(1, MIN_NEAR_SHARE * len(val)):
        return ()
    one, other = (_name(samples, number) for number in next(iter(found.items())))
    return (
        f"{_of(len(found), len(val))} images to validate with look like images to learn from, "
        f"such as {one} and {other}. If they are copies at another size or quality, the accuracy "
        "says too much: validate with others.",
    )


def count_repeats(samples: Samples, seen: SeenImages) -> tuple[int, tuple[str, ...]]:
    """Count the images of a measurement that are copies of others in it; say so."""
    known = samples.select(np.flatnonzero(seen.known))
    first = first_of_copies(seen.checksums[seen.known])
    repeated = np.flatnonzero(first != np.arange(len(first)))
    if not len(repeated):
        return 0, ()
    pair = int(repeated[0])
    return len(repeated), (
        f"{_of(len(repeated), len(first))} images are copies of others (first: "
        f"{_name(known, int(first[pair]))} = {_name(known, pair)}); each counts as often as it is "
        "there.",
    )


def _warn_of_one_colour(
    images: ImageSet, classes: tuple[str, ...], seen: SeenImages
) -> tuple[str, ...]:
    all_images = np.bincount(images.labels, minlength=len(classes))
    found = np.bincount(
        images.labels, seen.one_colour[images.indices], minlength=len(classes)
    ).astype(int)
    labels = np.flatnonzero(found > ONE_COLOUR_SHARE * all_images).tolist()
    if not labels:
        return ()
    said = [
        f"{_of(found[label], all_images[label]).lower()} images of the class {classes[label]!r}"
        for label in labels[:NAMED]
    ]
    more = f" (and of {len(labels) - NAMED} classes more)" if len(labels) > NAMED else ""
    return (
        f"Of one colour or nearly so are {' and '.join(said)}{more}. Look at them: if their files "
        "are deeper than 8 bits, their values may take a small part of the range only, and should "
        "be scaled.",
    )


def _judge_two_classes(
    images: ImageSet,
    classes: tuple[str, ...],
    first: Places,
    twice: npt.NDArray[np.bool_],
    hint: str,
) -> tuple[str, ...]:
    if not twice.any():
        return ()
    all_images = np.bincount(images.labels, minlength=len(classes))
    found = np.bincount(images.labels[twice], minlength=len(classes))
    pairs = np.flatnonzero(twice & (images.labels != images.labels[first]))
    named = ", ".join(_pair(images, int(pair), first) for pair in pairs[:NAMED])
    remedy = "Remove them where they do not belong."
    shares = found / np.maximum(all_images, 1)
    worst = int(shares.argmax())
    if shares[worst] > MAX_SHARE_IN_TWO_CLASSES:
        what = f"{_of(found[worst], all_images[worst])} images of the class {classes[worst]!r}"
        raise DataError(
            f"{what} lie in another class as well. Of {len(pairs)} pairs the first: {named}. "
            f"{remedy}{hint}"
        )
    return (
        f"{len(pairs)} images lie in two classes (first: {named}). They are left out in both. "
        f"{remedy}",
    )


def _of(some: int, total: int) -> str:
    return f"All {total}" if some == total > 1 else f"{some} of {total}"


def _pair(images: ImageSet, place: int, first: Places) -> str:
    return f"{_name(images, int(first[place]))} = {_name(images, place)}"


def _name(images: ImageSet | Samples, place: int) -> str:
    return os.fsdecode(images.name(place))
