"""Scores by class, and how sure an accuracy is."""

import numpy as np
import pytest

from addapt.learning.scores import Scores, meaning, wilson_interval
from addapt.learning.state import standard_error


def scores(images: list[int], correct: list[int]) -> Scores:
    return Scores(np.array(images), np.array(correct))


def test_of_labels_and_what_they_were_taken_for() -> None:
    found = Scores.of(np.array([0, 0, 0, 2, 2]), np.array([0, 0, 2, 2, 0]), 4)
    assert found.images.tolist() == [3, 0, 2, 0]
    assert found.correct.tolist() == [2, 0, 1, 0]
    assert found.accuracy == 3 / 5
    assert found.balanced_accuracy == pytest.approx((2 / 3 + 1 / 2) / 2)  # two have images
    assert found.weakest == 2


def test_a_rare_class_that_is_never_recognised() -> None:
    found = scores([171, 9], [171, 0])
    assert (found.accuracy, found.balanced_accuracy, found.weakest) == (0.95, 0.5, 1)


@pytest.mark.parametrize(
    ("images", "correct", "weakest"),
    [([1, 10, 5], [0, 0, 0], 1), ([5, 5], [5, 5], 0), ([0, 4, 4], [0, 4, 3], 2)],
)
def test_the_weakest_class(images: list[int], correct: list[int], weakest: int) -> None:
    assert scores(images, correct).weakest == weakest


def test_even_classes_are_as_sure_as_they_are_many() -> None:
    found = scores([7, 7, 0, 7], [1, 2, 0, 3])
    assert (found.balanced_images, found.grain) == pytest.approx((21, 0))


def test_one_image_of_a_rare_class_is_chance() -> None:
    """It alone changes the balanced accuracy by a half."""
    found = scores([17, 1], [17, 1])
    assert found.grain + standard_error(1.0, found.balanced_images) > 0.5
    assert found.grain < 0.5
    found = scores([170, 10], [170, 10])
    assert 0.05 < found.grain + standard_error(1.0, found.balanced_images) < 0.2


@pytest.mark.parametrize("images", [(50, 50), (95, 5), (40, 30, 20, 10)])
def test_the_balanced_accuracys_standard_error(images: tuple[int, ...]) -> None:
    """The spread over many draws is that of so many images of even classes."""
    rng = np.random.default_rng(0)
    shares = rng.binomial(images, 0.8, (20_000, len(images))) / images
    error = standard_error(0.8, 1000 * scores(list(images), list(images)).balanced_images)
    assert shares.mean(1).std() == pytest.approx(error * 1000**0.5, rel=0.02)


@pytest.mark.parametrize(
    ("right", "images", "low", "high"),
    [
        # Newcombe (1998), table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (2, 2, 0.3424, 1.0),
    ],
)
def test_wilson_interval(right: int, images: int, low: float, high: float) -> None:
    assert wilson_interval(right / images, images) == pytest.approx((low, high), abs=1e-4)


def test_what_says_little() -> None:
    classes = ("cat", "dog", "eel")
    labels = np.repeat([0, 1], [9, 30])
    assert not meaning(labels, np.array([0, 1, 1]), classes)
    said = meaning(labels[1:], np.array([0, 1, 1]), classes)
    assert "of the class 'cat' there are only 9 images, 1 of them held out" in said
