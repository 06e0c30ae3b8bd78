"""Temperature and calibration error, against what they are known to be."""

import numpy as np
import pytest

from addapt.engines.base import State
from addapt.learning.calibration import (
    answers_error,
    best_temperature,
    calibration_error,
    with_temperature,
)
from addapt.learning.evaluation import softmax


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_temperature_is_found_again(temperature: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (4000, 5)).astype(np.float32)
    labels = np.array([rng.choice(5, p=row / row.sum()) for row in softmax(logits).astype(float)])
    found = best_temperature(logits * np.float32(temperature), labels)
    assert found == pytest.approx(temperature, rel=0.06)
    left = calibration_error(softmax(logits * np.float32(temperature / found)), labels)
    assert left < 0.03


def test_few_images_that_are_all_right_do_not_make_certain() -> None:
    logits, labels = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]], np.array([0, 1, 2, 0])
    few = best_temperature(logits, labels)
    many = best_temperature(np.tile(logits, (100, 1)), np.tile(labels, 100))
    assert 0.2 < many < few < 1


def test_the_state_is_divided_and_nothing_else() -> None:
    state: State = {
        "head.weight": np.ones((2, 3), np.float32),
        "head.bias": np.full(2, 4, np.float16),
        "adaptor.x": np.ones(1, np.float32),
    }
    cold = with_temperature(state, 2.0)
    assert cold["head.weight"].tolist() == [[0.5] * 3] * 2
    assert cold["head.bias"].tolist() == [2, 2] and cold["head.bias"].dtype == np.float16
    assert cold["adaptor.x"] is state["adaptor.x"]


def test_calibration_error_by_hand() -> None:
    probability = np.array([0.9, 0.9, 0.9, 0.9, 0.6, 0.6], np.float32)
    correct = np.array([True, True, True, False, True, True])
    assert answers_error(probability, correct) == pytest.approx((4 * 0.15 + 2 * 0.4) / 6, abs=1e-6)
    assert answers_error(np.ones(3, np.float32), np.ones(3, np.bool_)) == 0
