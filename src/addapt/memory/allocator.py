"""Make the C library give freed memory back to the system."""

import ctypes
import sys
from functools import lru_cache

THRESHOLD_BYTES = 1 << 16  # blocks this large go back to the system when they are freed
# From glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3


def configure_allocator() -> bool:
    """Have freed memory go back to the system at once; return whether that was done.

    By default glibc raises its thresholds with every large block that is freed, and
    then holds on to as much as 64 MB a heap. Setting either threshold stops that, as
    MALLOC_MMAP_THRESHOLD_ and MALLOC_TRIM_THRESHOLD_ do in the environment. Blocks that
    are already there stay as they are, so call it early. Other C libraries are left alone.
    """
    libc = _glibc()
    if libc is None:
        return False
    return all(
        [
            libc.mallopt(M_MMAP_THRESHOLD, THRESHOLD_BYTES) == 1,
            libc.mallopt(M_TRIM_THRESHOLD, THRESHOLD_BYTES) == 1,
        ]
    )


def trim() -> bool:
    """Give free memory back to the system now; return whether there was any to give."""
    libc = _glibc()
    return libc is not None and bool(libc.malloc_trim(0))


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
