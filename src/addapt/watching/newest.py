"""The newest frame of a camera: those that nobody had time for are dropped, never queued."""

import threading
from collections.abc import Iterator

from addapt.watching.frames import Frame


class NewestOnly:
    """Reads frames in a thread of its own, and gives the newest one when asked.

    What the reading raises is raised here. After `close` the thread ends at the next frame.
    """

    def __init__(self, frames: Iterator[Frame]) -> None:
        self._frames = frames
        self._changed = threading.Condition()
        self._newest: Frame | None = None
        self._error: BaseException | None = None
        self._ended = self._closed = False
        # A camera that hangs must not keep the process alive.
        self._thread = threading.Thread(target=self._read, name="camera", daemon=True)

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        if self._thread.ident is None:
            self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._ended)
            frame, self._newest = self._newest, None
            if frame is not None:
                return frame
            if self._error is not None:
                raise self._error
            raise StopIteration

    def close(self) -> None:
        """Have the thread end."""
        self._closed = True

    def _read(self) -> None:
        try:
            for frame in self._frames:
                if self._closed:
                    break
                with self._changed:
                    self._newest = frame
                    self._changed.notify()
        except BaseException as error:
            self._error = error
        with self._changed:
            self._ended = True
            self._changed.notify()
