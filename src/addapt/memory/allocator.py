"""Make the C library give freed memory back to the system."""

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from enum import Enum
from functools import lru_cache

THRESHOLD_BYTES = 1 << 16  # blocks this large go back to the system when they are freed
# Where freed memory is kept: the most that glibc takes for blocks, and no end for the heap.
KEPT_BLOCK_BYTES = 1 << 25
KEPT_HEAP_BYTES = (1 << 31) - 1
# Where glibc's own adjusting ends once large blocks have been freed. Its first values, 128 KiB
# each, would be no way back: with them, and adjusting off, a network runs as slowly as when lean.
SYSTEM_BLOCK_BYTES = 1 << 25
SYSTEM_HEAP_BYTES = 1 << 26
# From glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3


class Allocator(str, Enum):
    """What becomes of freed memory: it is given back at once, or as the system does it."""

    lean = "lean"
    system = "system"


_configured = False
_lean = 0
_reusing = 0


def configure_allocator() -> bool:
    """Have freed memory go back to the system at once, for good; return whether that was done.

    By default glibc raises its thresholds with every large block that is freed, and
    then holds on to as much as 64 MB a heap. Setting either threshold stops that, as
    MALLOC_MMAP_THRESHOLD_ and MALLOC_TRIM_THRESHOLD_ do in the environment. Blocks that
    are already there stay as they are, so call it early. Other C libraries are left alone.
    """
    global _configured
    _configured = _set_thresholds(THRESHOLD_BYTES, THRESHOLD_BYTES)
    return _configured


@contextlib.contextmanager
def lean_allocator() -> Iterator[None]:
    """Have memory that is freed inside go back to the system at once; see `configure_allocator`.

    Afterwards the thresholds are those of the environment, or those at which glibc's own adjusting
    ends. It cannot be asked for what they were before, nor told to go on adjusting.
    """
    global _lean
    _lean += 1
    _adjust()
    try:
        yield
    finally:
        _lean -= 1
        if not _is_lean():
            trim()
            _set_thresholds(
                _of_environment("MALLOC_MMAP_THRESHOLD_", SYSTEM_BLOCK_BYTES),
                _of_environment("MALLOC_TRIM_THRESHOLD_", SYSTEM_HEAP_BYTES),
            )


@contextlib.contextmanager
def reusing_freed_memory() -> Iterator[None]:
    """Reuse what is freed inside, and give it back at the end.

    Memory that comes from the system anew costs more time, page by page, than most arithmetic on
    it. So this is for a part of the work that needs less than the work's peak, and leaves little
    behind. Where freed memory does not go back at once anyway, the C library's own ways stay.
    """
    global _reusing
    _reusing += 1
    _adjust()
    try:
        yield
    finally:
        _reusing -= 1
        _adjust()
        if _is_lean():
            trim()


def trim() -> bool:
    """Give free memory back to the system now; return whether there was any to give."""
    libc = _glibc()
    return libc is not None and bool(libc.malloc_trim(0))


def _is_lean() -> bool:
    return _configured or _lean > 0


def _adjust() -> None:
    if not _is_lean():
        return
    if _reusing:
        _set_thresholds(KEPT_BLOCK_BYTES, KEPT_HEAP_BYTES)
    else:
        _set_thresholds(THRESHOLD_BYTES, THRESHOLD_BYTES)


def _of_environment(name: str, otherwise: int) -> int:
    """Return the threshold that the user gave to the C library, if it is a plain number."""
    value = os.environ.get(name, "")
    return int(value) if value.isascii() and value.isdigit() else otherwise


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
