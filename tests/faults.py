"""A disk that fails when it is told to: every call that changes a folder, one after the other.

Calls are seen where Python itself announces them, in audit events, so that it does not matter
through which module or in which version they are made. Writing and syncing are not announced;
these two are wrapped.
"""

import errno
import io
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

CALLS = ("open", "write", "fsync", "rename", "unlink", "mkdir", "rmdir", "lock")
ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES, errno.EINTR)

OnCall = Callable[[str, int], None]  # a call's kind and its number among those of this kind
Watching = AbstractContextManager[Counter[str]]

_EVENTS = {
    "os.rename": "rename",
    "os.remove": "unlink",
    "os.mkdir": "mkdir",
    "os.rmdir": "rmdir",
    "fcntl.flock": "lock",
}
_WRITING = os.O_WRONLY | os.O_RDWR
_watches: list["_Watch"] = []  # the last one is asked
_hooks: list[str] = []  # names what listens; Python knows no way to take a hook away


class _Watch:
    def __init__(self, folder: Path, on_call: OnCall) -> None:
        self.folder = folder.resolve()
        self.on_call = on_call
        self.calls: Counter[str] = Counter()

    def tell(self, call: str) -> None:
        self.calls[call] += 1
        self.on_call(call, self.calls[call])

    def concerns(self, place: object) -> bool:
        """Tell whether a call's first argument lies in the folder; descriptors and parts do."""
        if not isinstance(place, (str, bytes, os.PathLike)):
            return True
        path = Path(os.fsdecode(place))
        return not path.is_absolute() or path.is_relative_to(self.folder)


class _Writer:
    """A file opened for writing; of a write that fails, half has arrived."""

    def __init__(self, file: Any, watch: _Watch) -> None:
        self._file, self._watch = file, watch

    def write(self, data: Any) -> int:
        part = data if isinstance(data, str) else memoryview(data).cast("B")
        self._file.write(part[: len(part) // 2])
        self._file.flush()
        self._watch.tell("write")
        self._file.write(part[len(part) // 2 :])
        return len(part)

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _listen(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watches:
        return
    call = _EVENTS.get(event)
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING:
        call = "open"
    if call is not None and _watches[-1].concerns(arguments[0]):
        _watches[-1].tell(call)


@contextmanager
def watched(folder: Path, on_call: OnCall) -> Iterator[Counter[str]]:
    """Call `on_call` before each call that changes something in `folder`; give their counts.

    What it raises is what the call raises.
    """
    if not _hooks:
        sys.addaudithook(_listen)
        _hooks.append(_listen.__name__)
    watch = _Watch(folder, on_call)
    real_open = io.open

    def open_file(place: Any, *words: Any, **options: Any) -> Any:
        file = real_open(place, *words, **options)
        return _Writer(file, watch) if file.writable() and watch.concerns(place) else file

    def open_path(path: Path, *words: Any, **options: Any) -> Any:
        return open_file(path, *words, **options)

    def fsync(descriptor: int) -> None:
        watch.tell("fsync")  # and no more: nobody cuts the power, and it takes long

    patches = (
        mock.patch("io.open", open_file),
        mock.patch("builtins.open", open_file),
        mock.patch("pathlib.Path.open", open_path),  # which holds the real one in Python 3.10
        mock.patch("os.fsync", fsync),
    )
    with patches[0], patches[1], patches[2], patches[3]:
        _watches.append(watch)
        try:
            yield watch.calls
        finally:
            _watches.remove(watch)


def failing(folder: Path, call: str, number: int, error: int) -> Watching:
    """Let the call of this kind and number fail in `folder`, and all others succeed."""

    def on_call(kind: str, n: int) -> None:
        if (kind, n) == (call, number):
            fail(error)

    return watched(folder, on_call)


def failing_from(folder: Path, number: int, error: int) -> Watching:
    """Let all calls in `folder` fail from this number on, as when a disk is pulled out."""
    return watched(folder, _from(number, lambda: fail(error)))


def dead_at(folder: Path, number: int) -> Watching:
    """Kill this process, as by a power cut, before its call of this number in `folder`."""
    return watched(folder, _from(number, kill_at_once))


def _from(number: int, act: Callable[[], NoReturn]) -> OnCall:
    left = iter(range(number - 1))

    def on_call(kind: str, n: int) -> None:
        if next(left, None) is None:
            act()

    return on_call


def fail(error: int) -> NoReturn:
    """Raise what the system would raise."""
    raise OSError(error, os.strerror(error))


def kill_at_once() -> NoReturn:
    """End this process without a chance to tidy up."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a process survived SIGKILL")
