"""Probabilities that mean what they say: logits divided by a temperature, and what error is left.

The temperature is put into the head once a domain is learned, so that whoever uses the domain,
also as an exported model, gets calibrated probabilities, and no class changes.

*Source:* Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, temperature scaling and
the expected calibration error. A prior is ours, without which a few images that are all recognised
would ask for certainty.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from addapt.engines.base import Labels, Logits, Probabilities, State
from addapt.learning.evaluation import cross_entropy

HEAD = ("head.weight", "head.bias")
LARGEST_TEMPERATURE = 5.0  # the smallest is one in so many
PRIOR_DEVIATION = 0.5  # of the logarithm of a temperature
STEPS = 40  # of the search, each of which leaves 62 % of what is open
GOLDEN = (math.sqrt(5) - 1) / 2
BINS = 15


def best_temperature(logits: Logits, labels: Labels) -> float:
    """Return by what to divide logits (n, classes) to make the labels most probable."""

    def cost(log_temperature: float) -> float:
        scaled = logits / np.float32(math.exp(log_temperature))
        prior = (log_temperature / PRIOR_DEVIATION) ** 2 / 2
        return cross_entropy(scaled, labels) + prior / len(labels)

    low, high = -math.log(LARGEST_TEMPERATURE), math.log(LARGEST_TEMPERATURE)
    for _ in range(STEPS):
        width = GOLDEN * (high - low)
        left, right = high - width, low + width
        if cost(left) < cost(right):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)


def with_temperature(state: Mapping[str, npt.NDArray[Any]], temperature: float) -> State:
    """Return a domain's state whose logits are divided by `temperature`."""
    head = {name: (state[name] / temperature).astype(state[name].dtype) for name in HEAD}
    return {**state, **head}


def calibration_error(probabilities: Probabilities, labels: Labels) -> float:
    """Return the error of what has the most probability in each row (n, classes)."""
    return answers_error(probabilities.max(1), probabilities.argmax(1) == labels)


def answers_error(probability: npt.NDArray[np.float32], correct: npt.NDArray[np.bool_]) -> float:
    """Return by how much the probability of answers and the share of right ones differ on average.

    Args:
        probability: of each answer, (n,).
        correct: whether it is right, (n,).
    """
    bins = np.minimum((probability * BINS).astype(np.int64), BINS - 1)
    gaps = np.bincount(bins, probability - correct, minlength=BINS)
    return float(np.abs(gaps).sum() / len(probability))
