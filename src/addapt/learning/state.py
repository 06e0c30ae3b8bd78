"""What a run needs to go on: tensors, the number of the next step, the best epoch so far."""

import math
from dataclasses import dataclass, field

import numpy as np

from addapt.engines.base import Model, State


@dataclass(frozen=True)
class EpochRecord:
    """One finished epoch, one line of the history."""

    epoch: int
    train_loss: float
    val_loss: float
    val_accuracy: float
    lr: float
    train_s: float


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
        return self.history[self.best_epoch - 1].val_accuracy if self.best_epoch else 0.0

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

    def end_epoch(self, record: EpochRecord, model: Model, step: int, val_images: int) -> None:
        """Take note of a finished epoch, and of its tensors unless an earlier one was better.

        Better by more than the standard error of the highest accuracy: a smaller difference on
        few images is chance, and then later epochs, at lower learning rates, are to be
        preferred (the one-standard-error rule; Breiman et al., 1984).
        """
        self.history.append(record)
        self.capture(model, step, 0.0)
        highest = max(each.val_accuracy for each in self.history)
        if record.val_accuracy >= highest - standard_error(highest, val_images):
            self.best_epoch = record.epoch
            self.best = dict(self.domain)


def standard_error(accuracy: float, images: int) -> float:
    """Return the standard error of an accuracy measured on so many images.

    Two right and two wrong are added (Agresti and Coull, 1998): ten right of ten is no certainty.
    """
    expected = (accuracy * images + 2) / (images + 4)
    return math.sqrt(expected * (1 - expected) / (images + 4))
