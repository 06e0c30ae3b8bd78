"""What long work tells its caller, e.g. a progress bar."""

from collections.abc import Callable
from dataclasses import dataclass


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
