"""When a state is saved: every so often, at ends of epochs where that is cheap, never a bad one."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from addapt.learning import saving
from addapt.learning.saving import StateSaver
from addapt.learning.state import TrainingState


class Clock:
    """Time that passes when it is told to, and while a state is written."""

    def __init__(self) -> None:
        self.now = 0.0
        self.write_s = 0.0
        self.written: list[int] = []

    def __call__(self) -> float:
        return self.now

    def write(self, folder: Path, state: TrainingState, fingerprint: object) -> None:
        self.now += self.write_s
        self.written.append(state.step)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(saving, "save_run", clock.write)
    return clock


def state(step: int, value: float = 1.0) -> TrainingState:
    return TrainingState(step=step, domain={"w": np.array([value])})


def test_due_every_so_often(clock: Clock) -> None:
    saver = StateSaver(Path(), {}, 30, clock)
    clock.now = 29.9
    assert not saver.is_due()
    clock.now = 30
    assert saver.is_due()
    clock.write_s = 5
    saver.save(state(1))
    clock.now += 29.9  # since it was done
    assert not saver.is_due()
    clock.now += 0.1
    assert saver.is_due()


def epochs_saved(clock: Clock, epoch_s: float, write_s: float) -> list[int]:
    clock.write_s = write_s
    saver = StateSaver(Path(), {}, 30, clock)
    saver.save(state(1))
    for step in range(2, 102):
        clock.now += epoch_s
        saver.save_epoch(state(step))
    return clock.written


@pytest.mark.parametrize(("epoch_s", "write_s"), [(0.1, 0.02), (5, 0.3)])
def test_short_epochs_cost_two_percent_at_most(
    clock: Clock, epoch_s: float, write_s: float
) -> None:
    writes = len(epochs_saved(clock, epoch_s, write_s)) - 1
    assert 3 <= writes < 100
    assert writes * write_s <= 0.02 * 100 * epoch_s


def test_long_epochs_are_saved_each(clock: Clock) -> None:
    assert epochs_saved(clock, 1, 0.01) == list(range(1, 102))
    clock.written.clear()
    # The interval counts more than the cost.
    assert epochs_saved(clock, 30, 20) == list(range(1, 102))


def test_until_a_save_was_timed_the_interval_counts(clock: Clock) -> None:
    saver = StateSaver(Path(), {}, 30, clock)
    saver.save(state(0))  # holds nothing and tells nothing
    for step in range(1, 40):
        clock.now += 1
        saver.save_epoch(state(step))
    assert clock.written == [0, *range(30, 40)]


def test_tensors_are_let_go_of_whether_saved_or_not(clock: Clock) -> None:
    clock.write_s = 1
    saver = StateSaver(Path(), {}, 30, clock)
    saver.save(state(1))
    for step in (2, 3):
        clock.now += 30 if step == 2 else 1
        after = state(step)
        after.best = dict(after.domain)
        saver.save_epoch(after)
        assert (after.domain, list(after.best)) == ({}, ["w"])
    assert clock.written == [1, 2]


def test_nothing_is_written_twice_and_nothing_that_is_no_good(clock: Clock) -> None:
    saver = StateSaver(Path(), {}, 30, clock)
    for each in (state(3), state(3), state(4, math.nan), state(4, math.inf)):
        saver.save(each)
    assert clock.written == [3]


def test_clock_cannot_be_set_back() -> None:
    clock: Callable[[], float] = StateSaver(Path(), {})._clock
    assert clock.__name__ == "monotonic"
