"""Rare classes: told about, and lifted above what a model has learned of their rareness.

A model learns how frequent classes are along with how they look, and takes an image for the
frequent one where it is in doubt. What it says of a class is therefore lowered by a part of the
logarithm of the class's share, afterwards, in the bias of its head: learning stays as it is.

Weights of the losses, the usual remedy, hardly change what is learned once all images to learn
from are recognised, which a few passes achieve (Byrd and Lipton, 2019).

*Source:* Menon et al. (2021), post-hoc logit adjustment, equation 9 with tau = `STRENGTH`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from addapt.engines.base import Labels, State

AUTO, ON, OFF = BALANCES = ("auto", "on", "off")
UNEVEN_RATIO = 3.0
# The square root of what would make up for rareness entirely: more costs more images of frequent
# classes than it gains of rare ones.
STRENGTH = 0.5
MOST = 2 / 3
HEAD_BIAS = "head.bias"

Lift = npt.NDArray[np.float32]


def unevenness(labels: Labels) -> float:
    """Return how many times as many images the largest class has as the smallest."""
    counts = np.bincount(labels)
    present = counts[counts > 0]
    return float(present.max() / present.min())


def settle_balance(asked: str, labels: Labels) -> bool:
    """Tell whether rare classes are lifted, as is asked for or as the images need it."""
    return unevenness(labels) > UNEVEN_RATIO if asked == AUTO else asked == ON


def class_lift(labels: Labels, classes: int, label_smoothing: float) -> Lift:
    """Return what is added to the logits of the classes, 0 for the largest: (classes,).

    `STRENGTH` of the logarithm of how many times as many images the largest has. Label smoothing
    asks for a distance between the logit of the right class and the others, and the largest lift is
    at most `MOST` of it, or else images of the largest class would all be taken for others. Classes
    without images are left alone.
    """
    counts = np.bincount(labels, minlength=classes)
    lift = STRENGTH * np.log(counts.max() / np.where(counts, counts, counts.max()))
    if label_smoothing > 0 and lift.any():
        wrong = label_smoothing / classes
        distance = math.log((1 - label_smoothing + wrong) / wrong)
        lift *= min(1.0, MOST * distance / lift.max())
    return np.asarray(lift, np.float32)


def lifted(state: Mapping[str, npt.NDArray[Any]], lift: Lift | None) -> State:
    """Return a domain's state with the lift in its head."""
    if lift is None:
        return dict(state)
    bias = state[HEAD_BIAS]
    return {**state, HEAD_BIAS: (bias + lift).astype(bias.dtype)}


def imbalance_warning(labels: Labels, classes: Sequence[str], balance: bool) -> str:
    """Say which classes are very uneven, and what was or can be done; "" if they are not."""
    if unevenness(labels) <= UNEVEN_RATIO:
        return ""
    counts = np.bincount(labels)
    present = np.flatnonzero(counts)
    smallest, largest = (present[place(counts[present])] for place in (np.argmin, np.argmax))
    way_out = (
        "It was given more weight for that (not with `balance='off'`)"
        if balance
        else "It may be taken for the others (`balance='on'` gives it more weight)"
    )
    return (
        f"The class {classes[smallest]!r} has {counts[smallest]} images to learn from, and "
        f"{classes[largest]!r} has {counts[largest]}. {way_out}; more images of it help more."
    )
