"""Limits of learning: what makes no sense, and a process that takes more than its budget."""

import math
import re
from pathlib import Path
from typing import Any

import pytest

from addapt._errors import OptionError
from addapt.learning import BudgetExceeded, Controls, Learner, Progress, controls
from addapt.learning.budget import Allotment
from addapt.learning.controls import MemoryWatch
from tests.conftest import MakeFolder
from tests.fake_engine import FakeEngine

MB = 1_000_000


class Process:
    """A process whose peak of memory is what a test says."""

    peak_bytes: int | None = 50 * MB


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Process:
    process = Process()
    monkeypatch.setattr(controls, "process_peak_bytes", lambda: process.peak_bytes)
    return process


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"save_every_s": 0.0}, "`save_every_s` is 0: .* such as 30"),
        ({"save_every_s": math.nan}, "`save_every_s` is nan"),
        ({"save_every_s": math.inf}, "`save_every_s` is inf"),
        ({"cache_bytes": -1}, "`cache_bytes` is -1"),
        ({"budget_bytes": 0}, "budget is 0 bytes"),
    ],
)
def test_values_that_make_no_sense(values: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Controls(**values)
    Controls(save_every_s=0.001, cache_bytes=0, budget_bytes=1)


def test_a_tenth_more_is_too_much(process: Process) -> None:
    watch = MemoryWatch(100 * MB)
    for peak_mb, exceeds in ((100, False), (110, False), (111, True), (50, True)):
        process.peak_bytes = peak_mb * MB
        assert watch.exceeds() is exceeds
    assert watch.exceeded_bytes == 111 * MB
    assert re.search("took 111 MB.* 100 MB.* 111 MB or more", str(watch.error("x")))


def test_what_was_held_before_does_not_count(process: Process) -> None:
    assert not MemoryWatch(None).exceeds()
    process.peak_bytes = 500 * MB
    watch = MemoryWatch(100 * MB)
    assert not watch.exceeds()
    process.peak_bytes = None  # not on this system
    assert not watch.exceeds()
    process.peak_bytes = 501 * MB
    assert watch.exceeds()


def test_stopped_learning_goes_on_with_a_larger_budget(
    make_folder: MakeFolder, tmp_path: Path, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("addapt.learning.teaching.allot", lambda *_: Allotment(4, MB))
    learner, folder, steps = Learner(FakeEngine(), tmp_path), make_folder(), []

    def grow(progress: Progress) -> None:
        if progress.phase == "learning":
            steps.append(progress.done)
            process.peak_bytes = (50 + 30 * progress.done) * MB

    def learn(budget_bytes: int) -> None:
        limits = Controls(grow, budget_bytes=budget_bytes)
        learner.learn("x", folder, method="head", epochs=2, image_px=32, controls=limits)

    with pytest.raises(BudgetExceeded, match="took 110 MB, over a tenth more than .* 90 MB"):
        learn(90 * MB)
    assert steps == [1, 2]
    learn(900 * MB)
    assert steps[2] == 3
    assert learner.store.exists("x")
