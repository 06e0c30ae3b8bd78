"""Paths as people give them: from their home folder, or addresses of the web by mistake."""

import os
import re
from pathlib import Path

# A Path has merged the two slashes; a single letter is a drive of Windows.
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/+(?=[^/])", re.IGNORECASE)


def expanded(path: str | Path) -> Path:
    """Put the home folder in place of a leading ~, which a shell leaves inside quotes."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - leaves a ~name that no user has


def is_address(path: str | Path) -> bool:
    """Whether it is an address of the web."""
    return _ADDRESS.match(str(path)) is not None


def absent(path: str | Path, what: str) -> str:
    """Say in words that there is no such path: `what` is "folder" or "image"."""
    if found := _ADDRESS.match(str(path)):
        address = f"{found[1]}://{str(path)[found.end() :]}"
        return (
            f"{address} is an address, and addapt downloads nothing. Fetch the {what} yourself, "
            "then give its path."
        )
    return f"The {what} {path} does not exist: check the path."
