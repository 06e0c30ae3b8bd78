"""What a model makes of a set of images: logits, probabilities, scores and loss."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from addapt.engines.base import Labels, Logits, Recogniser
from addapt.images import ImageSet
from addapt.learning.scores import Scores

EVALUATION_BATCH = 8  # whole maps of all blocks, though for a moment only


def logits_of(
    model: Recogniser,
    images: ImageSet,
    batch: int = EVALUATION_BATCH,
    before_batch: Callable[[], None] = lambda: None,
) -> Logits:
    """Compute the logits of all images (at least one), `batch` at once: (n, classes).

    `before_batch` may raise an exception to end this early.
    """
    parts = []
    for start in range(0, len(images), batch):
        before_batch()
        parts.append(model.logits(images.batch(range(start, min(start + batch, len(images))))))
    return np.concatenate(parts)


def evaluate(
    model: Recogniser,
    images: ImageSet,
    batch: int = EVALUATION_BATCH,
    before_batch: Callable[[], None] = lambda: None,
    lift: npt.NDArray[np.float32] | None = None,
) -> tuple[Scores, float]:
    """Return scores and mean cross-entropy of `model` on `images`; see `logits_of`.

    `lift` is added to the logits, which it does not have yet.
    """
    logits = logits_of(model, images, batch, before_batch)
    if lift is not None:
        logits += lift
    scores = Scores.of(images.labels, logits.argmax(1), logits.shape[1])
    return scores, cross_entropy(logits, images.labels)


def softmax(logits: Logits) -> npt.NDArray[np.float32]:
    """Return probabilities (n, classes)."""
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    probabilities: npt.NDArray[np.float32] = exponentials / exponentials.sum(1, keepdims=True)
    return probabilities


def cross_entropy(logits: Logits, labels: Labels) -> float:
    """Return the mean over images of -log(probability of its class)."""
    shifted = (logits - logits.max(1, keepdims=True)).astype(np.float64)
    of_label = shifted[np.arange(len(labels)), labels]
    return float((np.log(np.exp(shifted).sum(1)) - of_label).mean())
