"""One writer at a time for a domain; readers need no lock, as files are replaced whole."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from addapt._disk import disk_reason, make_folder
from addapt._errors import DomainError
from addapt.domains.layout import LOCK_FOLDER, check_name, leftovers

if TYPE_CHECKING:
    from filelock import BaseFileLock

WAIT_S = 1.0  # a domain is saved in less; who learns holds its lock much longer
# What a file system answers that has no locks.
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}
# What the system would not release: it is asked again later, and at the process's end it must.
_unreleased: list["BaseFileLock"] = []


@contextlib.contextmanager
def writing(folder: Path, *names: str) -> Iterator[None]:
    """Be the only one who writes domains called `names` into the store in `folder`.

    The lock dies with its process. It may be taken again by the thread that has it. What writers
    left behind when they were killed, of any name, is removed.

    Args:
        folder: made if it is not there.
        names: those that differ only in letter case share a lock, as they may share a file.

    Raises:
        DomainError: someone else is writing, or the disk refused.
    """
    wanted = {check_name(name).lower(): name for name in names}
    with contextlib.ExitStack() as locks:
        for key in sorted(wanted):  # in one order, so that no two wait for each other
            _acquire(folder, wanted[key], locks)
        with contextlib.suppress(OSError):  # they are in nobody's way
            for name, path in leftovers(folder):
                # Who listed a file of a writer that has finished since, finds it gone.
                if name.lower() in wanted or not is_being_written(folder, name):
                    path.unlink(missing_ok=True)
        yield


def is_being_written(folder: Path, name: str) -> bool:
    """Tell whether someone else is writing domain `name` now; makes and changes nothing."""
    path = _lock_path(folder, name)
    if not path.exists():
        return False
    from filelock import Timeout

    try:
        lock = _lock(path)
        lock.acquire(timeout=0)
        _release(lock)
        return False
    except Timeout:
        return True
    except OSError:  # who cannot lock here cannot write either
        return False


def _acquire(folder: Path, name: str, locks: contextlib.ExitStack) -> None:
    # Not at the top: it takes longer to import than a store to list, which needs no lock.
    from filelock import Timeout

    for _ in range(len(_unreleased)):
        _release(_unreleased.pop(0))
    path = _lock_path(folder, name)
    try:
        make_folder(path.parent)
        lock = _lock(path)
        lock.acquire(timeout=WAIT_S)
        locks.callback(_release, lock)
    except Timeout:
        raise DomainError(
            f"Domain {name!r} in {folder} is being learned or written by another program: wait "
            "until it has finished or stop it, or choose another name."
        ) from None
    except OSError as error:
        if error.errno in _NO_LOCKS:
            raise DomainError(
                f"Store {folder} is on a file system without locks, where two programs could "
                "write a domain at once: choose a folder on another disk with `store`."
            ) from error
        raise DomainError(
            f"Store {folder} could not be locked for writing because {disk_reason(error)}"
        ) from error


def _release(lock: "BaseFileLock") -> None:
    try:
        lock.release()
    except OSError:  # what was to be done under the lock is done
        _unreleased.append(lock)


def _lock_path(folder: Path, name: str) -> Path:
    return folder / LOCK_FOLDER / f"{check_name(name).lower()}.lock"


def _lock(path: Path) -> "BaseFileLock":
    from filelock import FileLock

    # One object a file, so that a thread which has the lock can take it again. A substitute for
    # missing locks would outlive a process that is killed.
    return FileLock(path, is_singleton=True, fallback_to_soft=False)
