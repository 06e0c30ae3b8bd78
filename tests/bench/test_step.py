"""The comparison itself, with workers that answer at once."""

from typing import Any

import pytest

from addapt.bench import step
from addapt.bench.contender import Contender, Workload
from addapt.bench.remote import WorkerError
from addapt.bench.step import run_comparison
from addapt.learning import Progress

WORK = Workload("resnet18", "random", batch=8, image_px=32, threads=1, device="cpu")


class FakeWorker:
    """Fine-tuning takes 1000 bytes and 4 s a step, its second round twice that; others less."""

    turns: list[str] = []
    dying: dict[str, int] = {}  # method: after how many steps

    def __init__(self, contender: Contender, workload: Workload, *, debug: bool = False) -> None:
        self.contender = contender
        self.at_once = 5
        self.steps = 0
        self.closed = False

    def measure_memory(self, micro_batch: int) -> dict[str, Any]:
        share = 1 if self.contender.method == "finetune" else 20
        return {
            "peak_bytes": 1000 // share,
            "peak_how": f"by heart, {micro_batch} at once",
            "process_bytes": 5000 if share == 1 else 2000,
            "kept_bytes": None if self.contender.method == "bias" else 800 // share,
        }

    def time(self, micro_batch: int) -> float:
        self.steps += 1
        name = self.contender.method
        if self.steps > self.dying.get(name, 1_000_000):
            raise WorkerError("its process was ended by SIGKILL")
        self.turns.append(name)
        busy = 2.0 if self.steps == 3 else 1.0
        if name == "finetune":
            return 4.0 * busy
        return busy * (1.0 if (micro_batch, self.contender.packed) == (4, True) else 2.0)

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeWorker]:
    monkeypatch.setattr(step, "RemoteStep", FakeWorker)
    monkeypatch.setattr(FakeWorker, "turns", [])
    monkeypatch.setattr(FakeWorker, "dying", {})
    return FakeWorker


def test_ratios_and_the_fastest_setting() -> None:
    finetune, device, smallest, default, fastest, bias = run_comparison(
        ["finetune", "da3", "eager:bias"], WORK, 3
    )
    assert (finetune.ratio_memory, finetune.ratio_kept, finetune.ratio_time) == (1, 1, 1)
    assert (finetune.ratio_process, smallest.ratio_process) == (1, 2.5)
    assert (device.engine, device.micro_batch, device.peak_how) == (
        "onnx",
        5,
        "by heart, 5 at once",
    )
    assert (smallest.ratio_memory, smallest.ratio_kept, smallest.ratio_time) == (20, 20, 2)
    assert (fastest.micro_batch, fastest.packed, fastest.ratio_time) == (4, True, 4)
    assert (default.packed, smallest.micro_batch) == (False, 1)
    assert (bias.kept_bytes, bias.ratio_kept, bias.ratio_memory) == (None, None, 20)
    # Three rounds after the warm-up: 4, 8 and 4 s.
    assert (finetune.step_s, finetune.step_s_spread) == (4, 2)


def test_turns_are_taken(fake: type[FakeWorker]) -> None:
    run_comparison(["finetune", "eager:bias", "finetune"], WORK, 2)
    assert fake.turns == ["finetune", "bias"] * 3


def test_one_that_dies_does_not_stop_the_others(fake: type[FakeWorker]) -> None:
    fake.dying = {"bias": 2}
    finetune, bias = run_comparison(["finetune", "eager:bias"], WORK, 3)
    assert bias.error == "its process was ended by SIGKILL"
    assert (bias.step_s, bias.step_s_spread, bias.ratio_time) == (None, None, None)
    assert (bias.peak_bytes, bias.ratio_memory) == (50, 20)  # measured before it died
    assert finetune.error is None
    assert finetune.step_s == 4


def test_without_a_reference_there_are_no_ratios(fake: type[FakeWorker]) -> None:
    fake.dying = {"finetune": 1}
    for rows in (
        run_comparison(["finetune", "eager:bias"], WORK, 3),
        run_comparison(["eager:bias"], WORK, 3),
    ):
        assert rows[-1].step_s == 2
        assert (rows[-1].ratio_memory, rows[-1].ratio_time) == (None, None)


def test_dying_while_the_fastest_is_sought(fake: type[FakeWorker]) -> None:
    fake.dying = {"lora": 7}  # only the trial makes so many steps
    events: list[Progress] = []
    rows = run_comparison(["finetune", "lora"], WORK, 3, on_progress=events.append)
    assert [row.error is None for row in rows] == [True, True, True, False]
    assert rows[-1].peak_bytes is None
    last = {event.phase: event for event in events}
    assert list(last) == ["choosing", "memory", "time"]
    assert all(event.done == event.total for event in last.values())
