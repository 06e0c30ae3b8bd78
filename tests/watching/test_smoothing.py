"""Answers are averaged over a moment, however many frames are in it."""

import numpy as np
import pytest

from addapt.watching.smoothing import Probabilities, Smoothing, judge

CAT, DOG = np.array([0.9, 0.1], np.float32), np.array([0.1, 0.9], np.float32)
UNSURE = np.array([0.55, 0.45], np.float32)
ABOVE = 0.6


def answers(seconds: float, rate: float, *frames: Probabilities) -> list[int | None]:
    smoothing = Smoothing(seconds, ABOVE)
    return [smoothing.judge(frame, i / rate).label for i, frame in enumerate(frames)]


def test_one_frame_that_is_mistaken_changes_nothing() -> None:
    assert answers(0.3, 25, CAT, CAT, CAT, DOG, CAT, CAT) == [0] * 6


@pytest.mark.parametrize("rate", [4, 10, 25, 100])
def test_a_new_answer_comes_within_the_time_at_any_rate_and_nothing_between(rate: int) -> None:
    found = answers(0.3, rate, *[CAT] * rate, *[DOG] * rate)
    assert found[rate + int(0.3 * rate)] == 1
    assert None not in found


def test_where_there_is_no_time_to_average_each_frame_speaks_for_itself() -> None:
    assert answers(0.3, 2, CAT, DOG, CAT) == [0, 1, 0]
    assert answers(0, 25, CAT, DOG, UNSURE) == [0, 1, None]


def test_what_is_not_sure_for_long_is_told() -> None:
    found = answers(0.3, 10, *[CAT] * 5, *[UNSURE] * 10)
    assert found[:5] == [0] * 5
    assert found[-1] is None
    assert found.index(None) <= 5 + 6


def test_the_probability_is_that_of_the_answer() -> None:
    smoothing = Smoothing(0.3, ABOVE)
    for i in range(4):
        smoothing.judge(CAT, i / 10)
    label, probability = smoothing.judge(DOG, 0.4)
    assert label == 0
    assert probability == pytest.approx((2 * 0.9 + 0.1) / 3)
    assert judge(UNSURE, ABOVE).label is None
    assert judge(UNSURE, ABOVE).probability == pytest.approx(0.55)


def test_only_the_last_seconds_are_kept_and_a_clock_may_be_put_back() -> None:
    smoothing = Smoothing(1, ABOVE)
    for i in range(1000):
        smoothing.judge(CAT, i / 10)
    assert len(smoothing._said) == 10
    assert smoothing.judge(DOG, 3.0).label == 1
