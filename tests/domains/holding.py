"""Another writer, for as long as it is needed."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from addapt.domains.lock import writing


@contextlib.contextmanager
def another_writer(
    folder: Path, *names: str, act: Callable[[], object] = lambda: None
) -> Iterator[None]:
    """Have domains of these names written by another thread, which does `act` first."""
    held, free = threading.Event(), threading.Event()

    def hold() -> None:
        with writing(folder, *names):
            act()
            held.set()
            free.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    try:
        yield
    finally:
        free.set()
        thread.join()
