"""Whether learning keeps to its budget while it runs."""

from addapt.learning.stopped import BudgetExceeded
from addapt.memory import format_bytes, process_peak_bytes

# What is predicted to within a tenth may be exceeded by as much.
TOLERANCE = 1.1


class MemoryWatch:
    """Compares the most that this process has held with a budget.

    What it held before this was made does not count: other work in the same process may have
    taken more.

    Args:
        budget_bytes: None watches nothing.
    """

    def __init__(self, budget_bytes: int | None) -> None:
        self._budget_bytes = budget_bytes
        self._limit_bytes = 0.0
        if budget_bytes is not None:
            self._limit_bytes = max(TOLERANCE * budget_bytes, process_peak_bytes() or 0)
        self.exceeded_bytes: int | None = None

    def exceeds(self) -> bool:
        """Measure, and tell whether it was too much, now or before."""
        if self._budget_bytes is not None and self.exceeded_bytes is None:
            peak_bytes = process_peak_bytes()
            if peak_bytes is not None and peak_bytes > self._limit_bytes:
                self.exceeded_bytes = peak_bytes
        return self.exceeded_bytes is not None

    def error(self, name: str) -> BudgetExceeded:
        """Return what to tell the user who learns `name`."""
        assert self._budget_bytes is not None and self.exceeded_bytes is not None
        needed = format_bytes(self.exceeded_bytes, round_up=True)
        return BudgetExceeded(
            f"Learning {name!r} took {needed}, over a tenth more than the budget of "
            f"{format_bytes(self._budget_bytes)}, and was stopped. What was learned is kept: give "
            f"the same command with --budget {needed.replace(' ', '')} or more to go on, or a "
            "smaller --micro-batch with --restart to begin anew."
        )
