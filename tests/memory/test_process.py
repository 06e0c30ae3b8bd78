"""The memory of this process."""

import mmap
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from addapt.memory import (
    measure_process_peak,
    process,
    process_peak_bytes,
    rss_bytes,
)

MB = 1_000_000
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")


def new_block(mb: int) -> mmap.mmap:
    """Return memory from the system itself: the C library may have a hole left for it."""
    block = mmap.mmap(-1, mb * MB)
    np.frombuffer(block, np.uint8)[:] = 1
    return block


def take(mb: int, hold_s: float = 0.0) -> None:
    with new_block(mb):
        time.sleep(hold_s)


def test_memory_held_now_and_at_most() -> None:
    start = rss_bytes() or 0
    block = new_block(50)
    held = rss_bytes() or 0
    assert held - start == pytest.approx(50 * MB, rel=0.1)
    assert (process_peak_bytes() or 0) >= held - process.SLACK_BYTES
    block.close()
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
