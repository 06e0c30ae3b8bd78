"""The bias of a fleet's head: the gradient of all devices together."""

import numpy as np
import pytest

from addapt.engines.base import Logits
from addapt.fleet.head_bias import is_common, too_rarely, with_common_bias
from addapt.learning.balance import HEAD_BIAS
from addapt.learning.evaluation import cross_entropy


def some_logits(images: int, classes: int) -> Logits:
    return np.random.default_rng(0).normal(size=(images, classes)).astype(np.float32)


def test_it_is_the_gradient_of_the_loss_by_the_bias() -> None:
    labels = np.array([0, 0, 1, 2, 2, 2])
    logits = some_logits(6, 3)

    off = too_rarely(logits, labels, labels, 0.0)

    for place in range(3):
        nudge = 1e-2 * np.eye(3, dtype=np.float32)[place]
        slope = cross_entropy(logits + nudge, labels) - cross_entropy(logits - nudge, labels)
        assert off[place] == pytest.approx(-slope / 2e-2, abs=1e-4)


def test_steps_of_devices_with_a_class_each_find_the_shares_of_all() -> None:
    shares, devices = np.array([0.1, 0.2, 0.7]), (10, 20, 70)
    bias = np.zeros(3, np.float32)
    for _ in range(200):
        states = [
            with_common_bias(
                {HEAD_BIAS: np.full(3, 9, np.float32)},
                {HEAD_BIAS: bias},
                too_rarely(np.tile(bias, (4, 1)), np.full(4, label), np.full(images, label), 0.0),
            )[HEAD_BIAS]
            for label, images in enumerate(devices)
        ]
        bias = np.average(states, axis=0, weights=devices).astype(np.float32)

    assert np.exp(bias) / np.exp(bias).sum() == pytest.approx(shares, abs=0.01)


def test_images_held_out_stand_for_those_of_their_class() -> None:
    logits = np.zeros((3, 2), np.float32)

    off = too_rarely(logits, np.array([0, 0, 1]), np.array([0] * 10 + [1] * 30), 0.0)

    assert off == pytest.approx([-0.25, 0.25])  # a quarter of the images, said of half


def test_with_label_smoothing_nobody_is_off_who_is_as_sure_as_asked() -> None:
    logits = np.log(np.array([[0.95, 0.05]], np.float32))

    assert too_rarely(logits, np.array([0]), np.array([0] * 9), 0.1) == pytest.approx(0, abs=1e-6)


def test_without_images_held_out_the_bias_stays() -> None:
    off = too_rarely(np.zeros((0, 2), np.float32), np.zeros(0, np.int64), np.array([0, 1]), 0.0)
    start = {HEAD_BIAS: np.array([1, 2], np.float32), "other": np.zeros(3, np.float32)}
    learned = {HEAD_BIAS: np.array([5, 5], np.float32), "other": np.ones(3, np.float32)}

    found = with_common_bias(learned, start, off)

    assert found[HEAD_BIAS].tolist() == [1, 2]
    assert found["other"].tolist() == [1, 1, 1]


def test_the_bias_is_common_once_all_else_hardly_moves() -> None:
    assert [number for number in range(20) if is_common(number, 20)] == [16, 17, 18, 19]
    assert not is_common(0, 1)
