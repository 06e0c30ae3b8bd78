"""What a watching came to, counted while it goes on."""

import statistics
import time
from collections import deque

from addapt.watching.pace import Clock
from addapt.watching.watch import Answer

TIMED = 1000  # recognitions, the last ones


class Summary:
    """Counts answers: `seen` frames, `recognised` ones, and `changes` of the answer."""

    def __init__(self, clock: Clock) -> None:
        self.seen = self.answered = self.recognised = self.changes = 0
        self._clock = clock
        self._started_s, self._began_s = clock.now(), time.process_time()
        self._recognise_s: deque[float] = deque(maxlen=TIMED)

    def add(self, answer: Answer) -> None:
        """Count an answer."""
        # The first tells what is there, which is no change.
        self.changes += answer.changed and self.answered > 0
        self.answered += 1
        self.seen = answer.frame + 1
        if answer.recognised:
            self.recognised += 1
            self._recognise_s.append(answer.recognise_s)

    @property
    def elapsed_s(self) -> float:
        """The seconds since the beginning."""
        return self._clock.now() - self._started_s

    @property
    def median_s(self) -> float | None:
        """What recognising a frame takes, of the last ones; None if none was."""
        return statistics.median(self._recognise_s) if self._recognise_s else None

    @property
    def processor_share(self) -> float:
        """How much of one processor core the process has used; above 1 if several were busy."""
        return (time.process_time() - self._began_s) / max(self.elapsed_s, 1e-9)
