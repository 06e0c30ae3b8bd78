"""Learning that is killed again and again, and what is left after each kill."""

import hashlib
import itertools
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from addapt._errors import AddaptError
from addapt.domains import Store
from addapt.learning.checkpoint import is_unfinished

EARLIER, AGAIN = "earlier", "again"  # domains that are there from the beginning
EXIT_LIMIT_S = 5.0  # in which a process that is asked to stop has to end
GENTLE_EVERY = 5  # every fifth is asked to stop, the others are killed
LOOK_EVERY_S = 0.002
AIM_S = 0.004  # less than it takes to write a state
MOST_TROUBLES = 20  # what is as broken as that need not be tried on


class Running(Protocol):
    """A process that learns, as `subprocess.Popen` has it."""

    pid: int

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code, negative for a signal; or raise `subprocess.TimeoutExpired`."""


Start = Callable[[str, bool], Running]  # begins to learn a domain: its name, whether --restart


@dataclass
class Tally:
    """What happened so far."""

    kills: int = 0
    gentle: int = 0  # of these, asked with SIGTERM
    while_writing: int = 0  # of these, with a temporary file on the disk
    runs: int = 0
    starts: int = 0
    lost: int = 0
    unreadable: int = 0
    different: int = 0
    crashes: int = 0
    hangs: int = 0
    leftovers: int = 0
    slowest_exit_s: float = 0.0
    troubles: list[str] = field(default_factory=list)

    def note(self, kind: str, trouble: str) -> None:
        """Count something that must not happen."""
        setattr(self, kind, getattr(self, kind) + 1)
        self.troubles.append(f"{kind}: {trouble}")


class KillTest:
    """Learns domains in a store, killing the process that does it at random moments.

    Half of the runs learn a new domain, half relearn "again", which was another one before.

    Args:
        store: has domains "earlier" and "again".
        start: begins to learn, or goes on.
        expected: what the file is when nobody kills anything.
        whole_s: how long that takes, for now.
        seed: decides when a process is killed, not what it has done by then.
    """

    def __init__(
        self, store: Store, start: Start, expected: bytes, whole_s: float, seed: int
    ) -> None:
        self.store, self.start = store, start
        self.expected, self.whole_s = expected, whole_s
        self.random = random.Random(seed)
        self.tally = Tally()
        self._contents = {name: store.path(name).read_bytes() for name in (EARLIER, AGAIN)}
        self._numbers = itertools.count()

    def run(self, kills: int) -> Iterator[Tally]:
        """Kill so many times, and let the last run end; yield the tally after each kill."""
        while self.tally.kills < kills and len(self.tally.troubles) < MOST_TROUBLES:
            for name in (f"new{next(self._numbers)}", AGAIN):
                yield from self._learn(name, kills)
                self._end_run(name)

    def _learn(self, name: str, kills: int) -> Iterator[Tally]:
        """Start and kill until a run is over."""
        while True:
            # What the user is told to do: --restart only where there is nothing to go on with.
            unfinished = is_unfinished(self.store.state_path(name))
            process = self.start(name, self.store.exists(name) and not unfinished)
            started = time.perf_counter()
            self.tally.starts += 1
            code = self._disturb(process, name) if self.tally.kills < kills else None
            if code is None:
                code = self._end_of(process, name, 10 * self.whole_s + 60)
                if code == 0 and not unfinished:  # the machine may have become quicker
                    self.whole_s = min(self.whole_s, time.perf_counter() - started)
            elif code != 0:
                self.tally.kills += 1
                self._check(name)
                yield self.tally
                continue
            if code != 0:
                self.tally.note("crashes", f"learning {name} ended with code {code}")
            return

    def _disturb(self, process: Running, name: str) -> int | None:
        """Kill a process some time; return its code, or None where it was over before."""
        left = self._temporary_files(name)  # by one that was killed earlier
        try:
            process.wait(self.random.uniform(0, self.whole_s))
            return None
        except subprocess.TimeoutExpired:
            pass
        gentle = (self.tally.kills + 1) % GENTLE_EVERY == 0
        aimed = not gentle and self.random.random() < 0.5
        if aimed and self._is_over_before_it_writes(process, name, left):
            return None
        before_s = time.perf_counter()
        writing = bool(self._temporary_files(name) - left)
        os.kill(process.pid, signal.SIGTERM if gentle else signal.SIGKILL)
        code = self._end_of(process, name, EXIT_LIMIT_S)
        took_s = time.perf_counter() - before_s
        if code == 0:  # it was quicker
            return code
        self.tally.while_writing += writing and not gentle
        if gentle:
            self.tally.gentle += 1
            self.tally.slowest_exit_s = max(self.tally.slowest_exit_s, took_s)
        # Before its own handlers are there, a signal ends a process as it does any other.
        allowed = (143, -signal.SIGTERM) if gentle else (-signal.SIGKILL,)
        if code not in allowed:
            self.tally.note("crashes", f"after a signal, learning {name} ended with code {code}")
        return code

    def _is_over_before_it_writes(self, process: Running, name: str, left: set[Path]) -> bool:
        """Wait until a temporary file is there, and then for a moment, or until the end."""
        ends = time.perf_counter() + self.whole_s
        while time.perf_counter() < ends and not self._temporary_files(name) - left:
            try:
                process.wait(LOOK_EVERY_S)
                return True
            except subprocess.TimeoutExpired:
                pass
        time.sleep(self.random.uniform(0, AIM_S))
        return False

    def _temporary_files(self, name: str) -> set[Path]:
        folders = (self.store.folder, self.store.state_path(name))
        return {path for folder in folders for path in _listed(folder) if path.suffix == ".tmp"}

    def _end_of(self, process: Running, name: str, limit_s: float) -> int:
        try:
            return process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.tally.note("hangs", f"learning {name} went on for {limit_s:.0f} s")
            os.kill(process.pid, signal.SIGKILL)
            return process.wait()

    def _check(self, name: str) -> None:
        """Look at the whole store after a kill."""
        for known, content in self._contents.items():
            try:
                self.store.read(known)
                found = self.store.path(known).read_bytes()
            except AddaptError as error:
                kind = "unreadable" if self.store.path(known).exists() else "lost"
                self.tally.note(kind, f"{known}, while {name} was learned: {error}")
                continue
            if found != content and not (known == name and found == self.expected):
                self.tally.note("lost", f"{known} is another one, while {name} was learned")
        for listed in set(self.store.names()) - self._contents.keys():
            try:
                self.store.read(listed)
            except AddaptError as error:
                self.tally.note("unreadable", f"{listed}: {error}")

    def _end_run(self, name: str) -> None:
        """Compare what was learned, and tidy up for the next run."""
        self._check(name)
        self.tally.runs += 1
        path = self.store.path(name)
        found = path.read_bytes() if path.exists() else b""
        if found != self.expected:
            self.tally.note("different", f"{name} is {_digest(found)}, not the uninterrupted run's")
        left = [str(path) for path in self.store.folder.rglob("*.tmp")]
        if left or self.store.state_path(name).exists():
            self.tally.note("leftovers", f"{left or self.store.state_path(name)} after {name}")
        if name == AGAIN:  # as it was, for the next time
            path.with_suffix(".copy").write_bytes(self._contents[AGAIN])
            path.with_suffix(".copy").replace(path)
        elif path.exists():
            self.store.remove(name)


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
