"""Writing files so that a power cut leaves the old one or the new one, never half."""

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

_ELSEWHERE = "choose another folder, or make this one writable"
_REASONS = {
    errno.EROFS: ("the disk is mounted read-only", _ELSEWHERE),
    errno.EACCES: ("permission was denied", _ELSEWHERE),
    errno.EPERM: ("permission was denied", _ELSEWHERE),
    errno.ENOSPC: ("the disk is full", "free some space and try again"),
    errno.EDQUOT: ("your disk quota is used up", "free some space and try again"),
    errno.EFBIG: ("files cannot be so large there", "choose a folder on another disk"),
    errno.ENOENT: ("there is no such file or folder", "check the path"),
    errno.ENOTDIR: ("a part of this path is a file, not a folder", "choose another folder"),
    errno.EEXIST: ("something of that name is in the way", "move it away or choose another name"),
    errno.EISDIR: ("it is a folder", "move it away or choose another name"),
}
# Left free by each write, for the folder's own entries and for other programs.
MARGIN_BYTES = 1_000_000


CHUNK_BYTES = 1 << 20


def file_sha256(path: Path) -> str:
    """Return the hash of a file's bytes, in hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def disk_reason(error: OSError) -> str:
    """Say in plain words why the disk refused, and what to do: "the disk is full: free ..."."""
    other = (error.strerror or str(error), "check the disk and try again")
    reason, remedy = _REASONS.get(error.errno or 0, other)
    return f"{reason}: {remedy}."


def write_atomically(path: Path, *parts: bytes | bytearray | memoryview) -> None:
    """Write `parts` to `path`: a file that was there stays until the new one is on the disk.

    Raises:
        OSError: as the system gives it, or there is too little space to begin; nothing is left
            behind.
    """
    stream_atomically(path, parts, sum(memoryview(part).nbytes for part in parts))


def stream_atomically(
    path: Path, parts: Iterable[bytes | bytearray | memoryview], size_bytes: int
) -> None:
    """Write parts, `size_bytes` in all, that need not be in memory together; else the same."""
    require_space(path.parent, size_bytes)
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
    try:
        with temporary.open("xb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):  # the first error is the one to report
            temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def move_atomically(source: Path, target: Path) -> None:
    """Give a file that is on the disk another name on the same disk, over one that was there.

    Raises:
        OSError: as the system gives it.
    """
    source.replace(target)
    _sync_folder(target.parent)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, so that a power cut does not take them away again.

    Raises:
        OSError: as the system gives it.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in missing:
        _sync_folder(made.parent)


def require_space(folder: Path, needed_bytes: int) -> None:
    """Raise the OSError of a full disk if so many bytes and a margin do not fit into `folder`."""
    try:
        free_bytes = shutil.disk_usage(folder).free
    except OSError:
        return  # where it cannot be known, writing itself will tell
    if free_bytes < needed_bytes + MARGIN_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def _sync_folder(folder: Path) -> None:
    """Make the new name survive a power cut, where the platform can sync a folder at all."""
    with contextlib.suppress(OSError):  # the file itself is whole and in place by now
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
