"""Workers as processes: they answer, refuse, and die."""

import pytest

from addapt._errors import AddaptError
from addapt.bench.contender import Contender, Workload
from addapt.bench.remote import RemoteStep, WorkerError

HEAD = Contender("head", "addapt", "smallest", 1, packed=False)


def test_answers_then_a_violent_death() -> None:
    packed = Contender("da3", "addapt", "fastest", 2, packed=True)
    worker = RemoteStep(packed, Workload("resnet18", "random", 2, 32, 1, "cpu"))
    try:
        memory = worker.measure_memory()
        assert set(memory) == {"peak_bytes", "peak_how", "process_bytes", "kept_bytes"}
        assert memory["kept_bytes"] > 0
        assert worker.time(1) > 0
        assert worker.time(2) > 0
        worker._process.kill()
        with pytest.raises(WorkerError, match="ended by SIGKILL, most likely for want of memory"):
            worker.time(1)
    finally:
        worker.close()
    assert worker._process.returncode is not None


def test_a_refusal_is_the_users_to_mend() -> None:
    with pytest.raises(AddaptError, match="absent.pth"):
        RemoteStep(HEAD, Workload("resnet18", "absent.pth", 2, 32, 1, "cpu"))


def test_an_error_inside() -> None:
    with pytest.raises(WorkerError, match="RuntimeError: .*negative dimension"):
        RemoteStep(HEAD, Workload("resnet18", "random", -1, 32, 1, "cpu"))
