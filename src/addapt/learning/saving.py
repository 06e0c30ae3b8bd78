"""When the state of a run is saved: often enough to lose little, and at little cost."""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from addapt.learning.checkpoint import save_run
from addapt.learning.controls import SAVE_EVERY_S
from addapt.learning.state import TrainingState

# Between two saves at ends of epochs lies this many times as long as a save takes, so that
# short epochs cost 2 % of the time at most.
LEAST_PAUSE = 50


class StateSaver:
    """Saves the state of one run every `every_s` seconds, and at ends of epochs.

    `fingerprint` is what the run is recognised by; `clock` never goes back.
    """

    def __init__(
        self,
        folder: Path,
        fingerprint: Mapping[str, Any],
        every_s: float = SAVE_EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._fingerprint = folder, fingerprint
        self._every_s, self._clock = every_s, clock
        self._saved_at = clock()
        self._took_s = math.inf  # unknown yet
        self._saved: tuple[int, int] | None = None

    def is_due(self) -> bool:
        """Tell whether the interval is over."""
        return self._clock() - self._saved_at >= self._every_s

    def save(self, state: TrainingState) -> None:
        """Write `state`, unless it has been or is no good, and let go of its tensors.

        Numbers that are not finite come with a loss that the next step or validation will refuse.
        What was written before is then the last good state.

        Raises:
            TrainingError: the disk refused.
        """
        now = (state.step, len(state.history))
        if now != self._saved and state.is_finite():
            started = self._clock()
            save_run(self._folder, state, self._fingerprint)
            self._saved, self._saved_at = now, self._clock()
            if state.step:  # the first one holds nothing
                self._took_s = self._saved_at - started
        state.release()

    def save_epoch(self, state: TrainingState) -> None:
        """Do what `save` does if it costs little, and let go of the state's tensors anyway."""
        pause_s = min(self._every_s, LEAST_PAUSE * self._took_s)
        if self._clock() - self._saved_at >= pause_s:
            self.save(state)
        state.release()
