"""What happens in a fleet, line by line, for the process that shows it to people."""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

News = dict[str, Any]  # a line
LOOK_EVERY_S = 0.3
CHUNK_BYTES = 65_536
OWNER_ONLY = 0o600  # may read and write


def tell(path: Path, **facts: Any) -> None:
    """Add a line to a pipe that someone reads, or to a file; what cannot be told is lost."""
    line = (json.dumps(facts) + "\n").encode()
    try:
        # Without waiting for a reader, who may have ended; but for a slow one.
        end = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, mode=OWNER_ONLY)
        os.set_blocking(end, True)
        with os.fdopen(end, "wb") as file:
            file.write(line)
    except OSError:
        pass


class NewsReader:
    """Reads what others tell through a pipe, which a full disk cannot stop.

    Args:
        path: where the pipe is made.

    Raises:
        OSError: it cannot be.
    """

    def __init__(self, path: Path) -> None:
        os.mkfifo(path, OWNER_ONLY)
        self.path, self._begun = path, b""
        self._pipe = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def close(self) -> None:
        """Read no more."""
        os.close(self._pipe)

    def latest(self) -> Iterator[News]:
        """Yield each line that was added since the last look, once it is whole."""
        while chunk := self._chunk():
            *lines, self._begun = (self._begun + chunk).split(b"\n")
            for line in lines:
                yield json.loads(line)

    def follow(self, check: Callable[[], None]) -> Iterator[News]:
        """Yield each as it comes, without end; `check` is called now and then, and may raise."""
        while True:
            yield from self.latest()
            check()
            time.sleep(LOOK_EVERY_S)

    def _chunk(self) -> bytes:
        try:
            return os.read(self._pipe, CHUNK_BYTES)
        except BlockingIOError:
            return b""
