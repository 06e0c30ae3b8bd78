"""Scores by class, and how sure an accuracy is."""

import numpy as np
import pytest

from addapt.learning.scores import Scores, meaning, standard_error, wilson_interval


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
    assert found.chance(1.0) > 0.5 > found.grain
    assert 0.05 < scores([170, 10], [170, 10]).chance(1.0) < 0.2


def test_five_images_are_chance_and_so_are_two_standard_errors() -> None:
    assert scores([2], [2]).chance(1.0) > 1
    assert 0.5 < scores([5, 5], [5, 5]).chance(1.0) < 0.6
    assert scores([5000, 5000], [0, 0]).chance(0.5) == pytest.approx(0.01, rel=1e-3)


def test_standard_error() -> None:
    assert standard_error(0.5, 10_000) == pytest.approx(0.005, rel=1e-3)
    assert standard_error(0.9, 100) == pytest.approx(0.03, rel=0.05)
    assert 0.05 < standard_error(1.0, 10) < 0.2
    assert standard_error(0.0, 10) == pytest.approx(standard_error(1.0, 10))


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
