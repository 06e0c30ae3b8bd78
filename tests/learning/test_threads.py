"""The number of threads is one of the two that were tried, the faster one."""

from typing import Any

import pytest

from addapt.learning.threads import use_fastest_threads
from tests.fake_engine import FakeEngine


@pytest.mark.parametrize("faster", [1, 2])
def test_faster_number_is_used(monkeypatch: pytest.MonkeyPatch, faster: int) -> None:
    now = 0.0
    engine = FakeEngine()
    engine.threads = 2

    def clock() -> float:
        nonlocal now
        now += 1 if engine.threads == faster else 2
        return now

    monkeypatch.setattr("time.perf_counter", clock)
    assert use_fastest_threads(engine) == engine.threads == faster


def test_nothing_to_try(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: FakeEngine, images: Any) -> Any:
        raise AssertionError("timed")

    monkeypatch.setattr(FakeEngine, "features", refuse)
    engine = FakeEngine()
    assert use_fastest_threads(engine) == 1
    monkeypatch.setattr(FakeEngine, "device", "cuda")
    engine.threads = 2
    assert use_fastest_threads(engine) == 2
