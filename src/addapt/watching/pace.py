"""Time as the watching knows it, and recorded frames as if they were live."""

import time
from collections.abc import Generator, Iterable

from addapt.watching.frames import Frame

LATEST_S = 0.5  # where not even decoding keeps up, a frame is taken so often


class Clock:
    """Seconds since 1970 that never jump, even if the system's clock is set meanwhile."""

    def __init__(self) -> None:
        self._since_1970_s = time.time() - time.monotonic()

    def now(self) -> float:
        """Return the time in seconds."""
        return self._since_1970_s + time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


def as_live(frames: Iterable[Frame], clock: Clock) -> Generator[Frame, None, None]:
    """Yield recorded frames when it is their time; of those that are overdue only the last."""
    waiting: Frame | None = None
    begun_s = taken_s = 0.0
    for frame in frames:
        if waiting is None:
            begun_s, taken_s = clock.now() - frame.at_s, clock.now()
        elif clock.now() < begun_s + frame.at_s or clock.now() - taken_s >= LATEST_S:
            clock.sleep(max(0.0, begun_s + waiting.at_s - clock.now()))
            taken_s = clock.now()
            yield waiting
        waiting = frame
    if waiting is not None:
        clock.sleep(max(0.0, begun_s + waiting.at_s - clock.now()))
        yield waiting
