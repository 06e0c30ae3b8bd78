"""How learning is watched, limited and stopped; nothing here changes its result."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from addapt._errors import OptionError, TrainingError
from addapt.memory import format_bytes, process_peak_bytes

SAVE_EVERY_S = 30.0
CACHE_BYTES = 0  # reading from the file costs no time that counts
# What is predicted to within a tenth may be exceeded by as much.
TOLERANCE = 1.1


@dataclass(frozen=True)
class Progress:
    """How far one phase of the work is: `done` of `total` images or steps.

    `accuracy` is that of the last epoch on validation images, None before the first.
    """

    phase: str
    done: int
    total: int
    accuracy: float | None = None


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class Controls:
    """What goes on beside learning.

    Args:
        on_progress: told how far the work is.
        should_stop: asked after every step, and between images of validation; True ends learning,
            and the same call goes on later.
        save_every_s: seconds of work that may be lost when the power goes.
        cache_bytes: limit of the memory for decoded images; the others lie in a file in the store,
            which is gone afterwards.
        budget_bytes: for the whole process, which is kept to or refused before any image is
            decoded. It slows learning by what it takes to give freed memory back.

    Raises:
        OptionError: a value makes no sense.
    """

    on_progress: OnProgress = lambda progress: None
    should_stop: Callable[[], bool] = lambda: False
    save_every_s: float = SAVE_EVERY_S
    cache_bytes: int = CACHE_BYTES
    budget_bytes: int | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        if not 0 < self.save_every_s < math.inf:
            raise OptionError(
                f"`save_every_s` is {self.save_every_s:g}: give the seconds between two saves, "
                f"above 0, such as {SAVE_EVERY_S:g}."
            )
        if self.cache_bytes < 0:
            raise OptionError(f"`cache_bytes` is {self.cache_bytes}: it cannot be negative.")
        if self.budget_bytes is not None and self.budget_bytes <= 0:
            raise OptionError(f"The budget is {self.budget_bytes} bytes: give a number above 0.")

    def tell_reading(self, done: int, total: int) -> None:
        """Tell how many images have been read."""
        self.on_progress(Progress("reading images", done, total))


class LearningStopped(TrainingError):
    """Learning was asked to stop; what was learned so far is kept, to go on with."""

    exit_code = 130  # what a shell reports for an interrupted command


class BudgetExceeded(TrainingError):
    """Learning took much more memory than its budget; what was learned so far is kept."""


class MemoryWatch:
    """Compares the most that this process has held with a budget.

    What it held before this was made does not count: other work in the same process may have
    taken more. Without a budget nothing is watched.
    """

    def __init__(self, budget_bytes: int | None) -> None:
        self._budget_bytes = budget_bytes
        limit = math.inf if budget_bytes is None else TOLERANCE * budget_bytes
        self._limit_bytes = max(limit, process_peak_bytes() or 0)
        self.exceeded_bytes: int | None = None

    def exceeds(self) -> bool:
        """Measure, and tell whether it was too much, now or before."""
        if self._budget_bytes is not None and self.exceeded_bytes is None:
            peak_bytes = process_peak_bytes() or 0
            if peak_bytes > self._limit_bytes:
                self.exceeded_bytes = peak_bytes
        return self.exceeded_bytes is not None

    def error(self, name: str) -> BudgetExceeded:
        """Return what to tell the user who learns `name`."""
        assert self._budget_bytes is not None and self.exceeded_bytes is not None
        needed = format_bytes(self.exceeded_bytes, round_up=True)
        return BudgetExceeded(
            f"Learning {name!r} took {needed}, over a tenth more than the budget of "
            f"{format_bytes(self._budget_bytes)}, and was stopped. What was learned is kept: go on "
            f"with a budget of {needed} or more, or begin anew with `restart=True` and a smaller "
            "`micro_batch`."
        )
