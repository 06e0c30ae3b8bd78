"""What happens in a fleet, line by line in a file, for the process that shows it to people."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

News = dict[str, Any]  # a line
LOOK_EVERY_S = 0.3


def tell(path: Path, **facts: Any) -> None:
    """Add a line; a disk that is full costs the line only."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(facts) + "\n")
    except OSError:
        pass


class NewsReader:
    """Reads the lines that were added since it last looked."""

    def __init__(self, path: Path) -> None:
        self._path, self._read = path, 0

    def latest(self) -> Iterator[News]:
        """Yield each, once it is whole."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                data = file.read()
        except OSError:
            return
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            yield json.loads(line)

    def follow(self, check: Callable[[], None]) -> Iterator[News]:
        """Yield each as it comes, without end; `check` is called now and then, and may raise."""
        while True:
            yield from self.latest()
            check()
            time.sleep(LOOK_EVERY_S)
