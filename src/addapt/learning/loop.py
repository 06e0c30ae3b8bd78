"""The training loop: deterministic given the seed, resumable at any step, on any engine.

Nothing random is carried from step to step: the order of an epoch and the augmentation
of a batch are drawn from generators seeded by (seed, purpose, number). A state is therefore
only the tensors and the number of the next step.
"""

import math
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from addapt._errors import TrainingError
from addapt.engines.base import Model
from addapt.images import ORDER, VARIATION, generator_of
from addapt.learning.controls import Controls, Progress
from addapt.learning.evaluation import EVALUATION_BATCH, evaluate
from addapt.learning.gating import measuring_batches
from addapt.learning.job import Job, parts_of
from addapt.learning.lesson import Lesson
from addapt.learning.saving import StateSaver
from addapt.learning.state import EpochRecord, TrainingState, score_fields

WARM_UP_SHARE = 0.1


class _ValidationStopped(Exception):
    """Ends a validation that nobody waits for any more."""


def train(
    model: Model,
    job: Job,
    lesson: Lesson,
    state: TrainingState,
    saver: StateSaver,
    controls: Controls,
    evaluation_batch: int = EVALUATION_BATCH,
) -> bool:
    """Train until the epochs are over or validation stops improving; keep the best epoch.

    `state`, a new one or one to go on with, is updated in place. Whenever `saver` sees it, and at
    the end, it can be resumed; after the last step `state.best` holds the domain's tensors of the
    best validation epoch. `controls` are told after every step, and asked then whether to stop, and
    between images of validation, which is made anew by who goes on. The model must be prepared;
    `evaluation_batch` validation images are in memory at once.

    Returns:
        True when the run is complete, False when `controls` ended it.

    Raises:
        TrainingError: the loss is not finite. What `saver` saw last is good.
    """

    def stop_validation() -> None:
        if controls.should_stop():
            raise _ValidationStopped

    state.restore(model)
    steps_per_epoch = job.steps_per_epoch(len(lesson.train))
    steps = job.epochs * steps_per_epoch
    some_images = measuring_batches(lesson.train, evaluation_batch)
    lift = job.lift(lesson)
    step, loss_sum = state.step, state.epoch_loss_sum
    while len(state.history) < job.epochs and not _is_stale(state, job):
        epoch = len(state.history)
        if model.gates is not None and step == epoch * steps_per_epoch:
            model.gates.refit(some_images)
        order = generator_of(job.seed, ORDER, epoch).permutation(len(lesson.train))
        # Nothing is left of them where the run was stopped before or during validation.
        for indices in np.array_split(order, steps_per_epoch)[step - epoch * steps_per_epoch :]:
            started = time.perf_counter()
            place = Place(step, steps)
            loss = make_step(model, job, lesson, indices, place)
            _refuse_divergence(loss, "loss", place, job)
            loss_sum += loss
            step += 1
            state.train_s += time.perf_counter() - started
            accuracy = state.history[-1].val_accuracy if state.history else None
            controls.on_progress(Progress("learning", step, steps, accuracy))
            if controls.should_stop():
                state.capture(model, step, loss_sum)
                return False
            if saver.is_due():
                state.capture(model, step, loss_sum)
                saver.save(state)
        try:
            scores, validation_loss = evaluate(
                model, lesson.val, evaluation_batch, stop_validation, lift
            )
        except _ValidationStopped:
            state.capture(model, step, loss_sum)
            return False
        _refuse_divergence(validation_loss, "validation loss", Place(step - 1, steps), job)
        record = EpochRecord(
            epoch=epoch + 1,
            train_loss=loss_sum / steps_per_epoch,
            val_loss=validation_loss,
            lr=job.lr * lr_factor(step - 1, steps),
            train_s=round(state.train_s, 3),
            **score_fields(scores),
        )
        state.end_epoch(record, model, step, scores)
        loss_sum = 0.0
        saver.save_epoch(state)
    model.rest()  # copies and saving need what steps took
    if not state.domain:  # released
        state.capture(model, step, loss_sum)
    return True


def lr_factor(step: int, steps: int) -> float:
    """Return the share of the peak learning rate at `step`: linear warm-up, cosine to zero."""
    warm_up = max(1, round(steps * WARM_UP_SHARE))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


@dataclass(frozen=True)
class Place:
    """Step number `step`, from 0, of `steps`."""

    step: int
    steps: int


def make_step(
    model: Model, job: Job, lesson: Lesson, indices: npt.NDArray[np.int64], place: Place
) -> float:
    """Make one optimiser step from one batch; return the batch's mean loss, which may be NaN."""
    # The whole batch's random numbers at once: the parts do not change them.
    draws = job.augmentation.draw(len(indices), generator_of(job.seed, VARIATION, place.step))
    parts = parts_of(len(indices), job.micro_batch, statistics=job.method.batch_statistics)
    loss = 0.0
    for part, part_draws in zip(
        np.array_split(indices, parts), np.array_split(draws, parts), strict=True
    ):
        images = job.augmentation.apply(lesson.train.batch(part), part_draws)
        loss += model.step(images, lesson.train.labels[part], batch=len(indices))
    if math.isfinite(loss):
        model.update(lr_factor(place.step, place.steps))
    return loss


def _refuse_divergence(value: float, what: str, place: Place, job: Job) -> None:
    if not math.isfinite(value):
        raise TrainingError(
            f"The {what} became {value} at step {place.step + 1} of {place.steps}. The last good "
            f"state is kept. Try a smaller `lr` than {job.lr:g}, with `restart=True`."
        )


def _is_stale(state: TrainingState, job: Job) -> bool:
    """Say whether validation has not improved for `patience` epochs."""
    return len(state.history) - state.best_epoch >= job.patience
