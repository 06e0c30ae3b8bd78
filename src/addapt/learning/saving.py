"""When the state of a run is saved: often enough to lose little, and at little cost."""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from addapt._errors import OptionError
from addapt.learning.run_file import save_run
from addapt.learning.state import TrainingState

SAVE_EVERY_S = 30.0
# Between two saves at ends of epochs lies this many times as long as a save takes, so that
# short epochs cost 2 % of the time at most.
LEAST_PAUSE = 50


def check_interval(save_every_s: float) -> None:
    """Raise an OptionError if a state cannot be saved every so many seconds."""
    if not 0 < save_every_s < math.inf:
        raise OptionError(
            f"--save-every is {save_every_s:g}: give the seconds between two saves, above 0, "
            f"such as {SAVE_EVERY_S:g}."
        )


class StateSaver:
    """Saves the state of one run every `every_s` seconds, and at ends of epochs.

    Args:
        folder: of the run.
        fingerprint: what the run is recognised by.
        every_s: seconds between two saves.
        clock: told by it; it never goes back.
    """

    def __init__(
        self,
        folder: Path,
        fingerprint: Mapping[str, Any],
        every_s: float = SAVE_EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._fingerprint = fingerprint
        self._every_s = every_s
        self._clock = clock
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
