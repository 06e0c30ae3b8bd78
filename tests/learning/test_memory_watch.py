"""Learning that takes more memory than its budget stops, and goes on with a larger one."""

from pathlib import Path

import pytest

from addapt import Learner
from addapt.engines.torch.backbones import Backbone
from addapt.learning import BudgetExceeded, Progress, memory_watch
from addapt.learning import learner as learner_module
from addapt.learning.budget import Allotment
from addapt.learning.memory_watch import MemoryWatch
from tests.conftest import MakeFolder

MB = 1_000_000


class Process:
    """A process whose peak of memory is what a test says."""

    peak_bytes: int | None = 50 * MB

    def measure(self) -> int | None:
        return self.peak_bytes


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Process:
    process = Process()
    monkeypatch.setattr(memory_watch, "process_peak_bytes", process.measure)
    return process


def test_a_tenth_more_is_too_much(process: Process) -> None:
    watch = MemoryWatch(100 * MB)
    for peak_mb, exceeds in ((100, False), (110, False), (111, True), (50, True)):
        process.peak_bytes = peak_mb * MB
        assert watch.exceeds() is exceeds
    assert watch.exceeded_bytes == 111 * MB
    message = str(watch.error("x"))
    assert "took 111 MB" in message
    assert "budget of 100 MB" in message
    assert "--budget 111MB or more" in message
    assert watch.error("x").exit_code == 2


def test_what_was_held_before_does_not_count(process: Process) -> None:
    process.peak_bytes = 500 * MB
    watch = MemoryWatch(100 * MB)
    assert not watch.exceeds()
    process.peak_bytes = 501 * MB
    assert watch.exceeds()


def test_nothing_to_watch(process: Process) -> None:
    assert not MemoryWatch(None).exceeds()
    watch = MemoryWatch(100 * MB)
    process.peak_bytes = None  # not on this system
    assert not watch.exceeds()


def test_stopped_learning_goes_on_with_a_larger_budget(
    tiny_backbone: Backbone,
    make_folder: MakeFolder,
    tmp_path: Path,
    process: Process,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(learner_module, "check_budget", lambda *_: None)
    monkeypatch.setattr(learner_module, "configure_allocator", lambda: None)
    monkeypatch.setattr(learner_module, "keep_to_budget", lambda *_, **__: Allotment(4, MB))
    learner, folder, steps = Learner(tiny_backbone, tmp_path), make_folder(), []

    def grow(progress: Progress) -> None:
        if progress.phase == "learning":
            steps.append(progress.done)
            process.peak_bytes = (50 + 30 * progress.done) * MB

    def learn(budget_bytes: int) -> None:
        learner.learn(
            "x", folder, epochs=2, image_px=32, on_progress=grow, budget_bytes=budget_bytes
        )

    with pytest.raises(BudgetExceeded, match="took 110 MB, over a tenth more than .* 90 MB"):
        learn(90 * MB)
    assert steps == [1, 2]
    learn(900 * MB)
    assert steps[2] == 3
    assert learner.store.exists("x")
