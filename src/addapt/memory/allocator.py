"""Make the C library give freed memory back to the system."""

import contextlib
import ctypes
import sys
from collections.abc import Iterator
from enum import Enum
from functools import lru_cache

THRESHOLD_BYTES = 1 << 16  # blocks this large go back to the system when they are freed
# Where freed memory is kept: the most that glibc takes for blocks, and no end for the heap.
KEPT_BLOCK_BYTES = 1 << 25
KEPT_HEAP_BYTES = (1 << 31) - 1
# From glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3


class Allocator(str, Enum):
    """What becomes of freed memory: it is given back at once, or as the system does it."""

    lean = "lean"
    system = "system"


_configured = False
_reusing = 0


def configure_allocator() -> bool:
    """Have freed memory go back to the system at once; return whether that was done.

    By default glibc raises its thresholds with every large block that is freed, and
    then holds on to as much as 64 MB a heap. Setting either threshold stops that, as
    MALLOC_MMAP_THRESHOLD_ and MALLOC_TRIM_THRESHOLD_ do in the environment. Blocks that
    are already there stay as they are, so call it early. Other C libraries are left alone.
    """
    global _configured
    _configured = _set_thresholds(THRESHOLD_BYTES, THRESHOLD_BYTES)
    return _configured


@contextlib.contextmanager
def reusing_freed_memory() -> Iterator[None]:
    """Reuse what is freed inside, and give it back at the end.

    Memory that comes from the system anew costs more time, page by page, than most arithmetic on
    it. So this is for a part of the work that needs less than the work's peak, and leaves little
    behind. Without `configure_allocator` before, the C library's own ways stay.
    """
    global _reusing
    _reusing += 1
    if _configured:
        _set_thresholds(KEPT_BLOCK_BYTES, KEPT_HEAP_BYTES)
    try:
        yield
    finally:
        _reusing -= 1
        if _configured:
            _set_thresholds(THRESHOLD_BYTES, THRESHOLD_BYTES)
            trim()


def is_reusing_freed_memory() -> bool:
    """Say whether this is asked inside of `reusing_freed_memory`; the planner wants to know."""
    return _reusing > 0


def trim() -> bool:
    """Give free memory back to the system now; return whether there was any to give."""
    libc = _glibc()
    return libc is not None and bool(libc.malloc_trim(0))


def _set_thresholds(block_bytes: int, heap_bytes: int) -> bool:
    libc = _glibc()
    if libc is None:
        return False
    return all(
        [
            libc.mallopt(M_MMAP_THRESHOLD, block_bytes) == 1,
            libc.mallopt(M_TRIM_THRESHOLD, heap_bytes) == 1,
        ]
    )


@lru_cache
def _glibc() -> ctypes.CDLL | None:
    """Return the C library of this process if it is glibc."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return None
    libc.mallopt.argtypes = [ctypes.c_int, ctypes.c_int]
    libc.malloc_trim.argtypes = [ctypes.c_size_t]
    return libc
