"""The memory of this process."""

import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from addapt.memory import measure_process_peak, process, process_peak_bytes, rss_bytes

MB = 1_000_000
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")


def take(mb: int, hold_s: float = 0.0) -> None:
    block = torch.ones(mb * MB // 4)
    time.sleep(hold_s)
    del block


def step() -> None:
    take(50)
    take(20)


def held() -> int:
    rss = rss_bytes()
    assert rss is not None
    return rss


def test_memory_held_now() -> None:
    start = held()
    block = torch.ones(50 * MB // 4)
    assert held() - start == pytest.approx(50 * MB, rel=0.1)
    del block
    assert held() - start < 10 * MB


def test_the_peak_is_at_least_what_is_held() -> None:
    peak = process_peak_bytes()
    assert peak is not None
    assert peak >= held() - process.SLACK_BYTES


def test_peak_of_a_step_whatever_went_before() -> None:
    take(100)
    measured = measure_process_peak(step)
    assert measured.peak_bytes == pytest.approx(50 * MB, rel=0.1)


def test_a_step_that_takes_nothing() -> None:
    measured = measure_process_peak(lambda: None)
    assert measured.peak_bytes is not None
    assert measured.peak_bytes <= process.SLACK_BYTES


@pytest.mark.parametrize("reset", ["forbidden", "without effect"])
def test_sampled_where_the_kernels_mark_cannot_be_reset(
    reset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "absent" / "file" if reset == "forbidden" else tmp_path / "file"
    monkeypatch.setattr(process, "CLEAR_REFS", file)
    take(100)  # so that the old mark is far above what is held
    measured = measure_process_peak(lambda: take(50, hold_s=0.05))
    assert measured.peak_bytes == pytest.approx(50 * MB, rel=0.1)
    assert "sampled every 1 ms" in measured.how


def test_the_sampler_ends_with_a_step_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "CLEAR_REFS", tmp_path / "absent" / "file")
    take(100)
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        measure_process_peak(lambda: 1 // 0)
    assert threading.active_count() == before


def test_not_available_on_other_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STATUS", "STATM"):
        monkeypatch.setattr(process, name, tmp_path / "absent")
    runs: list[int] = []
    measured = measure_process_peak(lambda: runs.append(1))
    assert measured.peak_bytes is None
    assert measured.how.startswith("not available: ")
    assert rss_bytes() is None
    assert process_peak_bytes() is None
    assert runs == [1]
