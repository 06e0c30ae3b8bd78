"""Workers as processes: they answer, refuse, and die."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from addapt._errors import AddaptError
from addapt.bench.contender import Contender, Workload
from addapt.bench.remote import Worker, WorkerError
from addapt.bench.step import RemoteStep

WORK = Workload("resnet18", "random", 2, 32, 1, "cpu")
DEVICE = Contender("da3", "onnx", "device", None, packed=False)
PACKED = Contender("da3", "torch", "fastest", 2, packed=True)
KILLED = "#!/bin/sh\nread order\necho '{}'\nread order\nkill -9 $$\n"


@pytest.mark.parametrize("contender", [DEVICE, PACKED])
def test_answers_then_an_error_inside(contender: Contender) -> None:
    step = RemoteStep(contender, WORK)
    try:
        assert step.at_once == 2
        memory = step.measure_memory(2)
        assert set(memory) == {"peak_bytes", "peak_how", "process_bytes", "kept_bytes"}
        if contender is DEVICE:
            assert memory["kept_bytes"] is None
        else:
            assert memory["kept_bytes"] > 0
        assert step.time(1) > 0
        assert step.time(2) > 0
        with pytest.raises(WorkerError, match="ValueError: range"):
            step.time(0)
        with pytest.raises(WorkerError, match="exit code 1; `debug=True` shows"):
            step.time(1)
    finally:
        step.close()


@pytest.mark.parametrize("contender", [DEVICE, PACKED])
def test_a_refusal_is_the_users_to_mend(contender: Contender) -> None:
    with pytest.raises(AddaptError, match="absent.pth"):
        RemoteStep(contender, replace(WORK, weights="absent.pth"))


def test_a_violent_death(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "python"
    program.write_text(KILLED)
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    worker = Worker("any", 1, "lean", first=1)
    with pytest.raises(WorkerError, match="ended by SIGKILL, most likely for want of memory"):
        worker.ask(do="time")
    worker.close()
    assert worker._process.returncode == -9
