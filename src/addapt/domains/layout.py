"""What lies where in a store, and what a domain may be called."""

import re
from collections.abc import Iterator
from pathlib import Path

from addapt._errors import DomainError

SUFFIX = ".safetensors"
HISTORY_SUFFIX = ".history.jsonl"
DAMAGED_SUFFIX = ".damaged"
LEARNING_FOLDER = ".learning"
LOCK_FOLDER = ".locks"
NAME_LENGTH = 64

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# Windows opens a device, not a file, under these names, whatever suffix follows.
_DEVICES = {"con", "prn", "aux", "nul"} | {
    f"{port}{i}" for port in ("com", "lpt") for i in range(10)
}
# As `write_atomically` calls them: ".NAME.safetensors.0123abcd.tmp".
_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{8}\.tmp")


def check_name(name: str) -> str:
    """Return `name` if a domain may be called so on every system.

    Raises:
        DomainError: it may not; the message says what is allowed.
    """
    if (
        len(name) > NAME_LENGTH
        or not _NAME.fullmatch(name)
        or name.endswith(".")
        or name.split(".")[0].lower() in _DEVICES
    ):
        raise DomainError(
            f"A domain cannot be called {name!r}: use at most {NAME_LENGTH} letters a-z or A-Z, "
            "digits, '_', '-' and '.', with a letter or digit first, no '.' at the end, and no "
            "name that Windows reserves, such as 'con'."
        )
    return name


def may_be_name(text: str) -> bool:
    """Tell whether a domain may be called so."""
    try:
        check_name(text)
    except DomainError:
        return False
    return True


def leftovers(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the temporary files in a store, each with the name of the domain it was written for.

    Some may be in use: they are left-overs only to those who hold the lock of that name.

    Raises:
        OSError: a folder cannot be listed.
    """
    for path in _listed(folder):
        found = _TEMPORARY.fullmatch(path.name)
        # A suffix is taken away once only, as domains may be called "a.history.jsonl".
        if found and path.is_file():
            written = found[1]
            for suffix in (SUFFIX, HISTORY_SUFFIX):
                if written.endswith(suffix):
                    written = written.removesuffix(suffix)
                    break
            if may_be_name(written):
                yield written, path
    for unfinished in _listed(folder / LEARNING_FOLDER):
        if may_be_name(unfinished.name) and unfinished.is_dir():
            for path in _listed(unfinished):
                if _TEMPORARY.fullmatch(path.name) and path.is_file():
                    yield unfinished.name, path


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []
