"""Answers that do not flicker: what frames say is averaged over a moment."""

from collections import deque
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Probabilities = npt.NDArray[np.float32]  # (classes,)


class Verdict(NamedTuple):
    """The number of a class, None where nothing is sure, and its probability or the highest."""

    label: int | None
    probability: float


def judge(probabilities: Probabilities, above: float) -> Verdict:
    """Name the most probable class if it is at least as probable as `above`."""
    best = int(probabilities.argmax())
    probability = float(probabilities[best])
    return Verdict(best if probability >= above else None, probability)


class Smoothing:
    """Judges by the mean of all frames of the last seconds.

    Frames that were not recognised count, too, with what was said last: so an answer is out of date
    as soon after a change, however few frames are recognised. While one class gives way to another
    neither may be sure: the answer stays until another one is, or nothing was for as long.
    """

    def __init__(self, seconds: float, above: float) -> None:
        self._seconds, self._above = seconds, above
        self._said: deque[tuple[float, Probabilities]] = deque()
        self._label: int | None = None
        self._sure_s = 0.0

    def judge(self, probabilities: Probabilities, at_s: float) -> Verdict:
        """Take the next frame in, and return what holds at its time."""
        if self._said and at_s < self._said[-1][0]:  # a clock that was put back
            self._said.clear()
        while self._said and self._said[0][0] <= at_s - self._seconds:
            self._said.popleft()
        self._said.append((at_s, probabilities))
        mean: Probabilities = np.mean([said for _, said in self._said], axis=0)
        verdict = judge(mean, self._above)
        if verdict.label is not None:
            self._label, self._sure_s = verdict.label, at_s
        elif self._label is not None and 0 <= at_s - self._sure_s < self._seconds:
            return Verdict(self._label, float(mean[self._label]))
        return verdict
