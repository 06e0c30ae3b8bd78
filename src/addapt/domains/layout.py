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

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9_-])?")
# Windows opens a device, not a file, under these names, whatever suffix follows.
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
# As `write_atomically` and `tempfile` call them: ".NAME.safetensors.0123abcd.tmp".
_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-z_]{8}\.tmp")


def check_name(name: str) -> str:
    """Return `name` if a domain may be called so on every system.

    Raises:
        DomainError: it may not; the message says what is allowed.
    """
    if not may_be_name(name):
        raise DomainError(
            f"A domain cannot be called {name!r}: use at most {NAME_LENGTH} letters a-z or A-Z, "
            "digits, '_', '-' and '.', with a letter or digit first, no '.' at the end, and no "
            "name that Windows reserves, such as 'con'."
        )
    return name


def may_be_name(text: str) -> bool:
    """Tell whether a domain may be called so."""
    is_name = len(text) <= NAME_LENGTH and _NAME.fullmatch(text)
    return bool(is_name and not _DEVICE.fullmatch(text))


def temporary_prefix(name: str) -> str:
    """Return how to begin the name of a temporary file in a store, so that `leftovers` knows it.

    Eight characters as `tempfile` draws them, and ".tmp" belong behind it.
    """
    return f".{check_name(name)}{SUFFIX}."


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
            suffixes = [suffix for suffix in (SUFFIX, HISTORY_SUFFIX) if found[1].endswith(suffix)]
            written = found[1].removesuffix("".join(suffixes))
            if may_be_name(written):
                yield written, path
    for unfinished in _listed(folder / LEARNING_FOLDER):
        if may_be_name(unfinished.name) and unfinished.is_dir():
            within = _listed(unfinished)
            for path in (*within, *(p for each in within if each.is_dir() for p in _listed(each))):
                if _TEMPORARY.fullmatch(path.name) and path.is_file():
                    yield unfinished.name, path


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []
