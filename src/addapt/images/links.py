"""Links to folders: each is followed once, and none in a circle."""

import os
from pathlib import Path, PurePath

# What operating systems and network drives leave behind. Hidden names are skipped anyway.
JUNK_FOLDERS = frozenset(
    {"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"}
)


def is_visible(name: str) -> bool:
    """Whether what is called so counts: it is neither hidden nor junk."""
    return not name.startswith(".") and name not in JUNK_FOLDERS


class Links:
    """Notes the folders that are read, so that links bring none a second time.

    Args:
        scope: the folders that are read with all that is in them: a link to one of these, from
            wherever, is passed over, for its images come in their own place.
    """

    def __init__(self, *scope: Path) -> None:
        self.passed_over: list[str] = []
        self._scope = [PurePath(os.path.realpath(folder)) for folder in scope]
        # A link to a folder that holds the scope would run in circles, too.
        self._read = {
            _identity(above) for folder in self._scope for above in (folder, *folder.parents)
        }

    def may_enter(self, path: str, *, is_link: bool) -> bool:
        """Whether the folder at `path` is to be read now; if not, that is noted.

        Raises:
            OSError: it vanished.
        """
        identity = _identity(path)
        if identity in self._read or (is_link and self._comes_anyway(path)):
            self.passed_over.append(path)
            return False
        self._read.add(identity)
        return True

    def _comes_anyway(self, path: str) -> bool:
        target = PurePath(os.path.realpath(path))
        return any(
            target.is_relative_to(folder) and all(map(is_visible, target.relative_to(folder).parts))
            for folder in self._scope
        )


def _identity(path: str | PurePath) -> tuple[int, int]:
    status = os.stat(path)  # noqa: PTH116 - of a text, too
    return status.st_dev, status.st_ino
