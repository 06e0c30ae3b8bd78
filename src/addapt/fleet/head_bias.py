"""The bias of a fleet's head, which tells how frequent classes are.

A device with images of few classes learns in a round that there are no others, however rarely it
was wrong before: Adam's steps are as long for small gradients as for large ones. In the average
the classes that many devices have alone are then said too often (LOG.md, 2026-11-28). So in the
last rounds, when all else hardly moves any more, the bias is not what devices learn, but takes
steps of plain gradient descent: each device adds by how much it was off on the images held out,
and the average of that over devices, by their numbers of images, is the gradient over all images.
"""

import numpy as np
import numpy.typing as npt

from addapt.engines.base import Labels, Logits, State
from addapt.learning.balance import HEAD_BIAS
from addapt.learning.evaluation import softmax

# The longest step that cannot go too far: the loss is curved by 1/2 at most (Böhning, 1992).
STEP = 2.0
# Of the rounds: the learning rate is about a tenth of its peak then, and falls. Earlier the head's
# weights still go to and fro, and a bias that answers a round later makes that worse.
FROM = 0.8

Shares = npt.NDArray[np.float64]


def too_rarely(logits: Logits, labels: Labels, train: Labels, label_smoothing: float) -> Shares:
    """Return by how much of all images each class is said too rarely: (classes,), its sum 0.

    It is the gradient of the loss by the bias, times -1. Held-out images of a class stand for
    those to learn from, which may be of other shares. Without any there is nothing to say.

    Args:
        logits: of the images held out.
        labels: of them.
        train: labels of the images to learn from.
        label_smoothing: of the loss.
    """
    classes = logits.shape[1]
    targets = np.eye(classes)[labels] * (1 - label_smoothing) + label_smoothing / classes
    held_out = np.bincount(labels, minlength=classes)
    weights = (np.bincount(train, minlength=classes) / np.maximum(held_out, 1))[labels]
    if not weights.any():
        return np.zeros(classes)
    shares: Shares = weights @ (targets - softmax(logits)) / weights.sum()
    return shares


def is_common(number: int, rounds: int) -> bool:
    """Tell whether devices leave the bias alone in round `number`, from 0, of so many."""
    return number >= FROM * rounds


def with_common_bias(learned: State, start: State, off: Shares) -> State:
    """Return what a device has learned, with the bias of the state that it started from, a step on.

    Args:
        learned: by the device in a round.
        start: what all had learned before.
        off: by how much that said each class too rarely here.
    """
    bias = start[HEAD_BIAS]
    return {**learned, HEAD_BIAS: (bias + STEP * off).astype(bias.dtype)}
