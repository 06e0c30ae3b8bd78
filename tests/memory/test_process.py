"""The memory of this process."""

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from addapt.memory import (
    lean_allocator,
    measure_process_peak,
    process,
    process_peak_bytes,
    rss_bytes,
)

MB = 1_000_000
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")


@pytest.fixture(autouse=True)
def freed_memory_goes_back() -> Iterator[None]:
    with lean_allocator():
        yield


def take(mb: int, hold_s: float = 0.0) -> None:
    block = torch.ones(mb * MB // 4)
    time.sleep(hold_s)
    del block


def test_memory_held_now_and_at_most() -> None:
    start = rss_bytes() or 0
    block = torch.ones(50 * MB // 4)
    held = rss_bytes() or 0
    assert held - start == pytest.approx(50 * MB, rel=0.1)
    assert (process_peak_bytes() or 0) >= held - process.SLACK_BYTES
    del block
    assert (rss_bytes() or 0) - start < 10 * MB


def test_peak_of_a_step_whatever_went_before() -> None:
    take(100)
    measured = measure_process_peak(lambda: [take(mb) for mb in (50, 20)])  # type: ignore[func-returns-value]
    assert measured.peak_bytes == pytest.approx(50 * MB, rel=0.1)
    nothing = measure_process_peak(lambda: None).peak_bytes
    assert nothing is not None and nothing <= process.SLACK_BYTES


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
