"""The memory of this very process, as the system sees it."""

import gc
import os
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from addapt.memory.allocator import trim

STATUS = Path("/proc/self/status")
STATM = Path("/proc/self/statm")
CLEAR_REFS = Path("/proc/self/clear_refs")
# The kernel counts pages in batches, so two readings may differ by a little.
SLACK_BYTES = 4 << 20
SAMPLE_S = 0.001


@dataclass(frozen=True)
class ProcessPeak:
    """The most memory a step took above what the process held before it.

    `peak_bytes` is None where it cannot be told; `how` says how it was measured,
    or why not.
    """

    peak_bytes: int | None
    how: str


def rss_bytes() -> int | None:
    """Return the memory this process holds now (resident set); None off Linux."""
    try:
        return _resident_bytes(STATM.read_bytes())
    except OSError:
        return None


def process_peak_bytes() -> int | None:
    """Return the most this process has held since it began, or since `reset_process_peak`.

    None off Linux.
    """
    try:
        found = re.search(rb"^VmHWM:\s+(\d+) kB", STATUS.read_bytes(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def measure_process_peak(step: Callable[[], object]) -> ProcessPeak:
    """Run `step` once and return the peak of this process above its start.

    Free memory is first given back to the system, so that the start is honest; it is
    only if `configure_allocator` was called that later steps do not hoard it again.
    """
    gc.collect()
    trim()
    start = rss_bytes()
    if start is None:
        step()
        return ProcessPeak(None, "not available: this system has no /proc/self/statm")
    if reset_process_peak():
        step()
        peak = process_peak_bytes() or 0
        return ProcessPeak(max(0, peak - start), "high-water mark of the kernel (VmHWM)")
    peak = _sampled_peak(step)
    return ProcessPeak(
        max(0, peak - start),
        f"sampled every {SAMPLE_S * 1000:g} ms, since {CLEAR_REFS} cannot reset the "
        "high-water mark here; a shorter peak may be missed",
    )


def reset_process_peak() -> bool:
    """Lower the kernel's high-water mark to what is held now; return whether that worked."""
    with suppress(OSError):
        CLEAR_REFS.write_text("5", encoding="ascii")
    # Some sandboxes take the write and do nothing.
    peak, now = process_peak_bytes(), rss_bytes()
    return peak is not None and now is not None and peak <= now + SLACK_BYTES


def _sampled_peak(step: Callable[[], object]) -> int:
    done = threading.Event()
    peak = 0

    def sample() -> None:
        nonlocal peak
        with STATM.open("rb", buffering=0) as statm:
            while True:
                last = done.wait(SAMPLE_S)
                statm.seek(0)
                peak = max(peak, _resident_bytes(statm.read()))
                if last:
                    return

    thread = threading.Thread(target=sample, name="memory sampler", daemon=True)
    thread.start()
    try:
        step()
    finally:
        done.set()
        thread.join()
    return peak


def _resident_bytes(statm: bytes) -> int:
    return int(statm.split()[1]) * os.sysconf("SC_PAGE_SIZE")
