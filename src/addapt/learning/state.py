"""What a run needs to go on: tensors, the number of the next step, the best epoch so far."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from addapt.engines.base import Model, State
from addapt.learning.scores import Scores


@dataclass(frozen=True)
class EpochRecord:
    """One finished epoch, one line of the history.

    `weakest_class`, by its number, had `weakest_correct` of its `weakest_images` recognised.
    """

    epoch: int
    train_loss: float
    val_loss: float
    val_accuracy: float
    lr: float
    train_s: float
    val_balanced_accuracy: float
    weakest_class: int
    weakest_images: int
    weakest_correct: int


@dataclass
class TrainingState:
    """A run between two steps.

    `domain` and `optimiser` are those of step `step`; `best` is the domain's state after the
    last epoch that validated about as well as any: see `end_epoch`.
    """

    step: int = 0
    epoch_loss_sum: float = 0.0
    train_s: float = 0.0
    best_epoch: int = 0
    history: list[EpochRecord] = field(default_factory=list)
    domain: State = field(default_factory=dict)
    optimiser: State = field(default_factory=dict)
    best: State = field(default_factory=dict)

    @property
    def best_accuracy(self) -> float:
        """The validation accuracy of the best epoch; 0 before there is one."""
        return self.best_record.val_accuracy if self.best_epoch else 0.0

    @property
    def best_record(self) -> EpochRecord:
        """The best epoch, of which there must be one."""
        return self.history[self.best_epoch - 1]

    def restore(self, model: Model) -> None:
        """Hand the tensors of this state over to `model`, all but the best epoch's.

        They are not kept twice. A new state does nothing.
        """
        if self.domain:
            model.load_state(self.domain)
            model.load_optimiser_state(self.optimiser)
            self.release()

    def capture(self, model: Model, step: int, epoch_loss_sum: float) -> None:
        """Copy the tensors of `model` as they are before step `step`."""
        self.step = step
        self.epoch_loss_sum = epoch_loss_sum
        self.domain = model.state()
        self.optimiser = model.optimiser_state()

    def is_finite(self) -> bool:
        """Tell whether all tensors hold finite numbers."""
        # Either extreme is NaN where any value is; nothing is allocated.
        return all(
            math.isfinite(extreme)
            for part in (self.domain, self.optimiser, self.best)
            for array in part.values()
            if array.size and np.issubdtype(array.dtype, np.floating)
            for extreme in (array.min(), array.max())
        )

    def release(self) -> None:
        """Let go of what the model or the disk holds as well: all tensors but the best epoch's."""
        self.domain, self.optimiser = {}, {}

    def end_epoch(self, record: EpochRecord, model: Model, step: int, scores: Scores) -> None:
        """Take note of a finished epoch, and of its tensors unless an earlier one was better.

        Better by more than chance: otherwise later epochs, at lower learning rates, are to be
        preferred (after the rule of one standard error of Breiman et al., 1984, which chose earlier
        epochs too often). `scores` are those of which the record tells.
        """
        self.history.append(record)
        self.capture(model, step, 0.0)
        highest = max(each.val_balanced_accuracy for each in self.history)
        if record.val_balanced_accuracy >= highest - scores.chance(highest):
            self.best_epoch = record.epoch
            self.best = dict(self.domain)


def score_fields(scores: Scores) -> dict[str, Any]:
    """Return what a record says of the scores on validation images."""
    weakest = scores.weakest
    return {
        "val_accuracy": scores.accuracy,
        "val_balanced_accuracy": scores.balanced_accuracy,
        "weakest_class": weakest,
        "weakest_images": int(scores.images[weakest]),
        "weakest_correct": int(scores.correct[weakest]),
    }
