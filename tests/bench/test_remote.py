"""Workers as processes: they answer, refuse, and die."""

import sys
from pathlib import Path

import pytest

from addapt._errors import AddaptError
from addapt.bench.contender import Contender, Workload
from addapt.bench.remote import RemoteStep, WorkerError

WORK = Workload("resnet18", "random", 2, 32, 1, "cpu")
PACKED = Contender("da3", "addapt", "fastest", 2, packed=True)
KILLED = "#!/bin/sh\nread order\necho '{}'\nread order\nkill -9 $$\n"


def test_answers_then_an_error_inside() -> None:
    worker = RemoteStep(PACKED, WORK)
    try:
        memory = worker.measure_memory()
        assert set(memory) == {"peak_bytes", "peak_how", "process_bytes", "kept_bytes"}
        assert memory["kept_bytes"] > 0
        assert worker.time(1) > 0
        assert worker.time(2) > 0
        with pytest.raises(WorkerError, match="RuntimeError: .*split"):
            worker.time(-1)
        with pytest.raises(WorkerError, match="exit code 1; `debug=True` shows"):
            worker.time(1)
    finally:
        worker.close()
    assert worker._process.returncode is not None


def test_a_refusal_is_the_users_to_mend() -> None:
    with pytest.raises(AddaptError, match="absent.pth"):
        RemoteStep(PACKED, Workload("resnet18", "absent.pth", 2, 32, 1, "cpu"))


def test_a_violent_death(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "python"
    program.write_text(KILLED)
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    worker = RemoteStep(PACKED, WORK)
    with pytest.raises(WorkerError, match="ended by SIGKILL, most likely for want of memory"):
        worker.time(1)
    worker.close()
