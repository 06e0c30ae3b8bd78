"""A folder that fills up with images."""

import os
from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from addapt._errors import DataError
from addapt.images import images_in
from addapt.watching.frames import Frame
from addapt.watching.pace import Clock

LOOK_EVERY_S = 0.1
LOOKING_SHARE = 0.2  # of the time, at most, however many images there are


class _Stamp(NamedTuple):
    """A file and when it became what it is, to which renaming and copying count, too."""

    changed_ns: int
    path: Path
    size_bytes: int


def folder_frames(folder: Path, clock: Clock, *, every: bool) -> Generator[Frame, None, None]:
    """Yield images as they come into a folder, for ever, and to begin with the newest one in it.

    An image is taken once its file has stayed the same between two looks. Of several only the
    newest is, unless `every` one is, in the order of their coming, with all that are there already.
    Nothing is kept of what was taken but the time of the last: a file that is written anew comes
    again.

    Raises:
        DataError: the folder holds no image, or cannot be listed.
    """
    there = sorted(_stamps(folder)) if every else [max(_stamps(folder), default=None)]
    ready = [stamp for stamp in there if stamp is not None]
    if not ready:
        raise DataError(
            f"The folder {folder} and the folders in it hold no images. Start when the first one "
            "is there, or check the path."
        )
    number, before, looking_s = 0, set[_Stamp](), 0.0
    while True:
        for stamp in ready:
            yield Frame(number, clock.now(), partial(Path, stamp.path), file=stamp.path)
            number, last = number + 1, stamp
        clock.sleep(max(LOOK_EVERY_S, looking_s / LOOKING_SHARE))
        looked_s = clock.now()
        new = {stamp for stamp in _stamps(folder) if stamp > last}
        looking_s = clock.now() - looked_s
        ready, before = sorted(new & before), new
        if not every:
            number += len(ready[:-1])
            ready = ready[-1:]


def _stamps(folder: Path) -> Iterator[_Stamp]:
    for path in images_in(folder):
        try:
            status = os.stat(path)  # noqa: PTH116 - faster
        except OSError:  # it was there a moment ago
            continue
        changed_ns = max(status.st_mtime_ns, status.st_ctime_ns)
        yield _Stamp(changed_ns, path, status.st_size)
