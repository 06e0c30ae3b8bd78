"""Freed memory goes back to the system."""

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from addapt.memory import allocator
from addapt.memory.allocator import configure_allocator, trim

ON_GLIBC = allocator._glibc() is not None
MB = 1 << 20
SETTINGS = {
    "MALLOC_MMAP_THRESHOLD_": str(allocator.THRESHOLD_BYTES),
    "MALLOC_TRIM_THRESHOLD_": str(allocator.THRESHOLD_BYTES),
}

# Large blocks are freed (which raises glibc's thresholds), then small ones among others
# that stay. It runs `_allocator.py` as a script, for a process without torch.
HOARD = """
import runpy, sys
allocator = runpy.run_path(sys.argv[1])
if sys.argv[2] == "configure":
    assert allocator["configure_allocator"]()
def held():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
start = held()
for mb in (5, 10, 20):
    block = b"x" * (mb << 20)
    del block
blocks = [bytes([k]) * (2 << 20) for k in range(30)]
del blocks[:-1]
print(held() - start)
allocator["trim"]()
print(held() - start)
"""


def held_after_hoarding(option: str, script: str = HOARD, **settings: str) -> tuple[int, int]:
    """Return the bytes held where 2 MB are alive: as they are, and once trimmed."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MALLOC_", "GLIBC_TUNABLES"))
    }
    output = subprocess.run(
        [sys.executable, "-c", script, str(allocator.__file__), option],
        env={**environment, **settings},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    return int(output[0]), int(output[1])


@pytest.mark.skipif(not ON_GLIBC, reason="needs glibc")
def test_freed_memory_goes_back_as_with_the_environment_variables() -> None:
    hoarded, trimmed = held_after_hoarding("leave")
    assert hoarded > 40 * MB > 4 * MB > trimmed
    assert held_after_hoarding("configure")[0] < 4 * MB
    assert held_after_hoarding("leave", **SETTINGS)[0] < 4 * MB


# Blocks of 2 MB come and go inside; one that was made there stays afterwards.
REUSE = """
import runpy, sys
allocator = runpy.run_path(sys.argv[1])
def held():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
if sys.argv[2] == "configure":
    allocator["configure_allocator"]()
start = held()
assert not allocator["is_reusing_freed_memory"]()
with allocator["reusing_freed_memory"]():
    assert allocator["is_reusing_freed_memory"]()
    blocks = [bytes([k]) * (2 << 20) for k in range(30)]
    kept = blocks.pop(3)
    del blocks
    inside = held() - start
assert not allocator["is_reusing_freed_memory"]()
assert set(kept) == {3}
print(inside)
print(held() - start)
"""


@pytest.mark.skipif(not ON_GLIBC, reason="needs glibc")
def test_freed_memory_is_kept_for_a_part_of_the_work_and_then_goes_back() -> None:
    inside, after = held_after_hoarding("configure", script=REUSE)
    assert inside > 40 * MB > 4 * MB > after


@pytest.mark.skipif(not ON_GLIBC, reason="needs glibc")
def test_done_on_glibc() -> None:
    assert configure_allocator()
    assert isinstance(trim(), bool)


@pytest.fixture
def no_memory_of_the_library() -> Iterator[None]:
    allocator._glibc.cache_clear()
    yield
    allocator._glibc.cache_clear()


@pytest.mark.usefixtures("no_memory_of_the_library")
def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Musl:
        def __init__(self, name: str | None) -> None: ...

    monkeypatch.setattr(ctypes, "CDLL", Musl)
    assert not configure_allocator()
    assert not trim()


@pytest.mark.usefixtures("no_memory_of_the_library")
def test_another_system_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not configure_allocator()
