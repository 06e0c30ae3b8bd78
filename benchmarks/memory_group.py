"""A control group of Linux (cgroup, version 1 or 2) that limits the memory of its processes.

It needs root. What the group holds is counted by the kernel: anonymous memory, files it reads or
maps (page cache), and the kernel's own tables for it.
"""

import math
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

SAMPLE_S = 0.02
LEAVE_S = 5.0  # how long processes that were killed may take to be gone
# The shell enters the group, then becomes the program: all of its memory is counted there.
ENTER = 'echo $$ >"$0/cgroup.procs" && exec "$@"'


class NoGroupError(Exception):
    """No group can be made here; says why."""


@dataclass(frozen=True)
class Names:
    """The names of a version's files, and of its lines in `memory.stat`."""

    limit: str
    swap: str
    peak: str
    events: str  # has the line "oom_kill N"
    anonymous: str
    cached: str
    read_again: str  # pages of files that were dropped for lack of memory and read again


NAMES = {
    1: Names(
        *("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.max_usage_in_bytes"),
        *("memory.oom_control", "total_rss", "total_cache", "total_workingset_refault_file"),
    ),
    2: Names(
        *("memory.max", "memory.swap.max", "memory.peak"),
        *("memory.events", "anon", "file", "workingset_refault_file"),
    ),
}


@dataclass(frozen=True)
class Outcome:
    """How a program ended (137: killed), and the most that its group held.

    `given_up`: it had not ended in the time that it was given, and was ended from outside.
    `anonymous_bytes` and `cached_bytes` were sampled, each for itself; the kernel can drop what is
    cached, and does so near the limit, so `peak_bytes` may be the limit and nothing wrong.
    """

    exit_code: int
    seconds: float
    stdout: str
    stderr: str
    peak_bytes: int
    anonymous_bytes: int
    cached_bytes: int
    killed: int
    read_again_bytes: int
    given_up: bool


class MemoryGroup:
    """A group that was just made, for one program."""

    def __init__(self, folder: Path, version: int) -> None:
        self._folder = folder
        self._version = version
        self._names = NAMES[version]

    def limit(self, limit_bytes: int, *, has_swap: bool) -> None:
        """Allow this many bytes, and no swap.

        Raises:
            NoGroupError: there is swap, and the kernel does not limit it.
        """
        self._write(self._names.limit, limit_bytes)
        # Version 1 limits memory and swap together, version 2 swap alone.
        if (self._folder / self._names.swap).exists():
            self._write(self._names.swap, limit_bytes if self._version == 1 else 0)
        elif has_swap:
            raise NoGroupError("this kernel does not limit swap in a group: turn it off (swapoff)")

    def run(
        self,
        words: Sequence[str | Path],
        folder: Path,
        env: dict[str, str],
        patience_s: float = math.inf,
    ) -> Outcome:
        """Run a program in this folder, to its end or as long as there is patience.

        Where the files that a program has mapped do not fit, it reads them again and again, and
        that may go on for hours.
        """
        anonymous = cached = 0
        given_up = False
        with TemporaryFile("w+") as output, TemporaryFile("w+") as errors:
            started = time.perf_counter()
            process = subprocess.Popen(
                ["sh", "-c", ENTER, self._folder, *words],
                cwd=folder,
                env=env,
                stdout=output,
                stderr=errors,
            )
            while process.poll() is None:
                stat = self._table("memory.stat")
                anonymous = max(anonymous, stat[self._names.anonymous])
                cached = max(cached, stat[self._names.cached])
                if time.perf_counter() - started > patience_s:
                    given_up = True
                    process.kill()
                    process.wait()
                time.sleep(SAMPLE_S)
            seconds = time.perf_counter() - started
            output.seek(0)
            errors.seek(0)
            again = self._table("memory.stat").get(self._names.read_again, 0)
            return Outcome(
                exit_code=code if (code := process.returncode) >= 0 else 128 - code,
                seconds=round(seconds, 1),
                stdout=output.read(),
                stderr=errors.read(),
                peak_bytes=int((self._folder / self._names.peak).read_text(encoding="utf-8")),
                anonymous_bytes=anonymous,
                cached_bytes=cached,
                killed=self._table(self._names.events)["oom_kill"],
                read_again_bytes=again * os.sysconf("SC_PAGE_SIZE"),
                given_up=given_up,
            )

    def _table(self, name: str) -> dict[str, int]:
        lines = (self._folder / name).read_text(encoding="utf-8").splitlines()
        return {key: int(value) for key, value in (line.split() for line in lines)}

    def _write(self, name: str, value: int) -> None:
        (self._folder / name).write_text(str(value), encoding="utf-8")


@contextmanager
def memory_group(limit_bytes: int | None) -> Iterator[MemoryGroup]:
    """Make a group with a limit, or without one only to count; remove it at the end.

    Raises:
        NoGroupError: there is no place to make one, or it is not allowed.
    """
    parent, version = find_parent(Path("/"))
    folder = parent / f"addapt-{os.getpid()}-{time.monotonic_ns()}"
    try:
        folder.mkdir()
    except OSError as error:
        raise NoGroupError(
            f"{parent} takes no group ({error.strerror}): run as root, outside a container or in "
            "one that may write there"
        ) from None
    try:
        group = MemoryGroup(folder, version)
        if limit_bytes is not None:
            group.limit(limit_bytes, has_swap=_has_swap())
        yield group
    finally:
        _remove(folder)


def find_parent(root: Path) -> tuple[Path, int]:
    """Return the folder in which a group with memory limits can be made, and its version.

    In version 1 that is this process's own group. In version 2 a group that has processes hands
    nothing on to groups in it, so it is the nearest one around this process that does.
    """
    groups = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    own = {}
    for line in groups:
        _, controllers, path = line.split(":", 2)
        own.update(dict.fromkeys(controllers.split(","), path.lstrip("/")))
    mount = root / "sys/fs/cgroup"
    if "memory" in own:
        # Inside a container the path may be the host's; its root is then the group itself.
        folder = mount / "memory" / own["memory"]
        return (folder if folder.exists() else mount / "memory"), 1
    folder = mount / own.get("", "")
    for parent in (folder, *folder.parents):
        handed_on = parent / "cgroup.subtree_control"
        if handed_on.exists() and "memory" in handed_on.read_text(encoding="utf-8").split():
            return parent, 2
    raise NoGroupError(f"no group under {mount} hands memory limits on to groups in it")


def _has_swap() -> bool:
    return len(Path("/proc/swaps").read_text(encoding="utf-8").splitlines()) > 1


def _remove(folder: Path) -> None:
    deadline = time.monotonic() + LEAVE_S
    while True:
        try:
            folder.rmdir()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(SAMPLE_S)
