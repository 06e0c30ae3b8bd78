"""A reader beside the writer: how long it waits, and whether all it reads is whole."""

import hashlib
import json
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from addapt._errors import AddaptError
from addapt.domains import Store

PAUSE_S = 0.01
LONG_WAIT_MS = 50.0
SCHEDULE = Path("/proc/thread-self/schedstat")  # Linux: ns on a core, ns waiting for one, ...


@dataclass(frozen=True)
class Watched:
    """A store to read from, and digests of what may be read, by domain."""

    store: Store
    known: dict[str, list[str]]


@dataclass
class Readings:
    """What a reader met in one store.

    `max_ms` is the longest read by the clock. Of the longest `blocked_max_ms` the reader neither
    computed nor waited for a core that others used: it waited for a disk, a lock, or another
    machine on the same host. `long_waits` are those above the limit.
    """

    reads: int = 0
    unreadable: int = 0
    strange: int = 0  # neither the old domain nor the new one
    max_ms: float = 0.0
    blocked_max_ms: float | None = None
    long_waits: int | None = None


def domain_digest(store: Store, name: str) -> str:
    """Hash all that a reader gets of a domain."""
    info, tensors = store.read(name)
    digest = hashlib.sha256(info.to_json().encode())
    for tensor_name in sorted(tensors):
        digest.update(tensor_name.encode())
        digest.update(tensors[tensor_name].tobytes())
    return digest.hexdigest()


def read_on(stores: dict[str, Watched], stop: Event, result: Path) -> None:
    """Read all domains of the stores in turn until told to stop; write `Readings` to `result`."""
    for watched in stores.values():
        for name in watched.known:  # the first time much is imported
            domain_digest(watched.store, name)
    readings = {label: Readings() for label in stores}
    while not stop.is_set():
        for label, watched in stores.items():
            for name, digests in watched.known.items():
                time.sleep(PAUSE_S)
                _read(watched.store, name, digests, readings[label])
    rows = {label: asdict(each) for label, each in readings.items()}
    result.write_text(json.dumps(rows), encoding="utf-8")


def _read(store: Store, name: str, digests: list[str], readings: Readings) -> None:
    started_ms, busy_ms = _clock_ms(), _busy_ms()
    try:
        store.info(name)
        digest = domain_digest(store, name)
    except AddaptError:
        readings.unreadable += 1
        return
    taken_ms = _clock_ms() - started_ms
    readings.reads += 1
    readings.strange += digest not in digests
    readings.max_ms = max(readings.max_ms, taken_ms)
    if busy_ms is not None:
        blocked_ms = taken_ms - ((_busy_ms() or 0.0) - busy_ms)
        readings.blocked_max_ms = max(readings.blocked_max_ms or 0.0, blocked_ms)
        readings.long_waits = (readings.long_waits or 0) + (blocked_ms > LONG_WAIT_MS)


def read_readings(result: Path) -> dict[str, Readings]:
    """Read what a reader wrote, by the names of its stores."""
    rows = json.loads(result.read_text(encoding="utf-8"))
    return {label: Readings(**row) for label, row in rows.items()}


@contextmanager
def reader(stores: dict[str, Watched], result: Path, *, fork: bool = False) -> Iterator[None]:
    """Have another process read meanwhile; `result` is there afterwards."""
    context: Any = multiprocessing.get_context("fork" if fork else "spawn")
    stop = context.Event()
    process = context.Process(target=read_on, args=(stores, stop, result))
    process.start()
    try:
        yield
    finally:
        stop.set()
        process.join(60)
        if process.exitcode is None:
            process.kill()


def _clock_ms() -> float:
    return time.perf_counter() * 1e3


def _busy_ms() -> float | None:
    """Return how long this thread has computed, or waited to compute; None if unknown."""
    try:
        on_core, waiting, *_ = SCHEDULE.read_text(encoding="ascii").split()
    except OSError:
        return None
    return (int(on_core) + int(waiting)) / 1e6
