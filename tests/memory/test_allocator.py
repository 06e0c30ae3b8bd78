"""Freed memory goes back to the system."""

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from addapt.memory import allocator
from addapt.memory.allocator import configure_allocator, trim

MB = 1 << 20
SETTINGS = {
    "MALLOC_MMAP_THRESHOLD_": str(allocator.THRESHOLD_BYTES),
    "MALLOC_TRIM_THRESHOLD_": str(allocator.THRESHOLD_BYTES),
}
needs_glibc = pytest.mark.skipif(allocator._glibc() is None, reason="needs glibc")

# The module runs as a script, for a process without torch. `hoard` leaves one block of 2 MB above
# many that are freed.
START = """
import runpy, sys
allocator = runpy.run_path(sys.argv[1])
def held():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
start = held()
def hoard():
    blocks = [bytes([k]) * (2 << 20) for k in range(30)]
    top = blocks.pop()
    del blocks
    return top
"""
# Large blocks that are freed raise glibc's thresholds.
LEAVE = """
for mb in (5, 10, 20):
    block = b"x" * (mb << 20)
    del block
top = hoard()
print(held() - start)
allocator["trim"]()
print(held() - start)
"""
CONFIGURE = 'assert allocator["configure_allocator"]()\n'
REUSE = """
with allocator["reusing_freed_memory"]():
    top = hoard()
    print(held() - start)
print(held() - start)
"""
LEAN = """
with allocator["lean_allocator"]():
    with allocator["lean_allocator"]():
        pass
    top = hoard()
    print(held() - start)
    del top
top = hoard()
print(held() - start)
"""


def held_after(script: str, **settings: str) -> tuple[int, int]:
    """Return the two numbers of bytes that a script prints: held where 2 MB are alive."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    kept.pop("GLIBC_TUNABLES", None)
    output = subprocess.run(
        [sys.executable, "-c", START + script, str(allocator.__file__)],
        env={**kept, **settings},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    return int(output[0]), int(output[1])


@needs_glibc
def test_freed_memory_goes_back_as_with_the_environment_variables() -> None:
    hoarded, trimmed = held_after(LEAVE)
    assert hoarded > 40 * MB > 4 * MB > trimmed
    assert held_after(CONFIGURE + LEAVE)[0] < 4 * MB
    assert held_after(LEAVE, **SETTINGS)[0] < 4 * MB


@needs_glibc
def test_freed_memory_is_kept_for_a_part_of_the_work_and_then_goes_back() -> None:
    inside, after = held_after(CONFIGURE + REUSE)
    assert inside > 40 * MB > 4 * MB > after


@needs_glibc
def test_lean_only_inside_and_then_as_the_environment_says() -> None:
    inside, after = held_after(LEAN)
    assert inside < 4 * MB < 40 * MB < after
    assert max(held_after(LEAN, **SETTINGS)) < 4 * MB


@pytest.fixture
def _no_memory_of_the_library() -> Iterator[None]:
    allocator._glibc.cache_clear()
    yield
    allocator._glibc.cache_clear()


@pytest.mark.usefixtures("_no_memory_of_the_library")
def test_another_c_library_or_system_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Musl:
        def __init__(self, name: str | None) -> None: ...

    monkeypatch.setattr(ctypes, "CDLL", Musl)
    assert not configure_allocator()
    assert not trim()
    monkeypatch.undo()
    monkeypatch.setattr(sys, "platform", "darwin")
    allocator._glibc.cache_clear()
    assert not configure_allocator()
    assert not trim()
