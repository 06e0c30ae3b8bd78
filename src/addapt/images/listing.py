"""What lies in a folder, in order, however many files there are and wherever links lead.

Entries as the system lists them tell a file from a folder without a question each: 50,000 files
take a fraction of the time that questions about their paths would.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from addapt._errors import DataError
from addapt.images.decode import IMAGE_SUFFIXES

MAX_DEPTH = 64  # folders inside one another; who has more has made them by mistake

# What operating systems and network drives leave behind. Hidden names are skipped anyway.
JUNK_FOLDERS = frozenset(
    {"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"}
)


@dataclass(frozen=True, slots=True)
class Entry:
    """What lies in a folder under one name; `listed` is None for a plain file."""

    path: str
    name: str
    listed: os.DirEntry[str] | None

    def is_symlink(self) -> bool:
        """Whether it is a link."""
        return self.listed is not None and self.listed.is_symlink()


def entries(folder: Path | str) -> Iterator[Entry]:
    """Yield what is in `folder`, sorted by name, without hidden entries and junk.

    Raises:
        OSError: the folder cannot be listed.
    """
    # Of plain files, of which there may be very many, no more than the names is kept.
    names: list[str] = []
    others: dict[str, os.DirEntry[str]] = {}
    with os.scandir(folder) as listed:
        for entry in listed:
            if not entry.name.startswith(".") and entry.name not in JUNK_FOLDERS:
                names.append(entry.name)
                if not _is_plain_file(entry):
                    others[entry.name] = entry
    names.sort(reverse=True)
    while names:
        name = names.pop()
        yield Entry(os.path.join(folder, name), name, others.get(name))  # noqa: PTH118 - faster


def _is_plain_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file(follow_symlinks=False)
    except OSError:
        return False


def leads_to_folder(entry: Entry) -> bool:
    """Whether `entry` is a folder or a link to one."""
    try:
        return entry.listed is not None and entry.listed.is_dir()
    except OSError:  # a link that leads to itself, for one
        return False


def subfolders(folder: Path | str) -> list[Path]:
    """List the folders in `folder`, sorted by name; links to folders do not count."""
    return [
        Path(entry.path)
        for entry in entries(folder)
        if leads_to_folder(entry) and not entry.is_symlink()
    ]


def files(folder: Path) -> Iterator[Entry]:
    """Yield all that is no folder in `folder` and the folders in it, sorted by path.

    Links to folders are passed over.

    Raises:
        OSError: a folder cannot be listed.
        DataError: folders lie too deep in one another.
    """
    open_folders = [entries(folder)]
    while open_folders:
        entry = next(open_folders[-1], None)
        if entry is None:
            open_folders.pop()
        elif not leads_to_folder(entry):
            yield entry
        elif not entry.is_symlink():
            if len(open_folders) > MAX_DEPTH:
                raise DataError(
                    f"The folder {folder} holds folders in folders, more than {MAX_DEPTH} deep. "
                    "Remove the deepest, or bring their images further up."
                )
            open_folders.append(entries(entry.path))


def is_image(entry: Entry) -> bool:
    """Whether `entry` is a file that is called like an image.

    Devices and pipes are not, for reading them may never end. A broken link is: it is an image
    that is missing, and reading it will say so.
    """
    _, dot, ending = entry.name.lower().rpartition(".")
    if dot + ending not in IMAGE_SUFFIXES:
        return False
    if entry.listed is None:
        return True
    try:
        return entry.is_symlink() and stat.S_ISREG(entry.listed.stat().st_mode)
    except OSError:
        return True
