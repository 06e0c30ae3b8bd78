"""One run of learning: from a prepared lesson to a domain in the store, resumable in between."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from addapt._disk import write_atomically
from addapt._errors import DomainError, TrainingError
from addapt.domains import Store
from addapt.domains.info import CALIBRATION_ERROR, TEMPERATURES
from addapt.engines.base import Answers, Engine, Model, State
from addapt.gates import GateConfig, Looks, gates_fields
from addapt.learning.balance import lifted
from addapt.learning.checkpoint import (
    history_lines,
    load_run,
    remove_run,
    require_space_for_run,
)
from addapt.learning.controls import Controls, LearningStopped, MemoryWatch, Progress
from addapt.learning.description import describe
from addapt.learning.gating import finish_gates, measuring_batches
from addapt.learning.job import Job
from addapt.learning.lesson import Lesson
from addapt.learning.loop import train
from addapt.learning.saving import StateSaver
from addapt.learning.signing import Calibrated, calibrate, sign, some_held_out
from addapt.learning.state import EpochRecord, TrainingState, score_fields
from addapt.learning.two_looks import (
    first_look_px,
    join_looks,
    models_of,
    recogniser_of,
    settle_looks,
)

FIRST_LOOK_FOLDER = "first-look"  # below that of the run


@dataclass(frozen=True)
class _Training:
    """What one model is trained for, and where its state lies.

    Most domains have one model. Of two looks, number 0 is that in full, 1 the first.
    """

    folder: Path
    job: Job
    lesson: Lesson
    number: int = 0

    def named(self, event: Progress) -> Progress:
        """Say of which look the progress is."""
        return replace(event, phase=f"{event.phase} the first look") if self.number else event


@dataclass(frozen=True)
class _Outcome:
    """What a domain's file will hold besides its signature, and what it will say.

    `temperatures` are those of the looks, that in full first, and `said` is what the model says of
    images held out, where that is known.
    """

    stored: State
    temperatures: tuple[float, ...]
    best: EpochRecord
    gates: dict[str, Any]
    looks: Looks | None = None
    said: tuple[Answers, ...] | None = None


class Run:
    """Trains a domain and saves it. Who calls it holds the domain's lock.

    The store gets the state of the run until then; `evaluation_batch` images are in memory at once
    where nothing is learned.
    """

    def __init__(
        self,
        name: str,
        store: Store,
        engine: Engine,
        job: Job,
        lesson: Lesson,
        evaluation_batch: int,
    ) -> None:
        self.name, self.store, self.engine = name, store, engine
        self.job, self.lesson, self.evaluation_batch = job, lesson, evaluation_batch
        self._folder = store.state_path(name)

    def learn(self, controls: Controls, *, restart: bool = False) -> TrainingState:
        """Train, going on with an unfinished run if there is one; save the domain.

        Returns:
            The run as it ended.

        Raises:
            LearningStopped: `controls` said so.
            BudgetExceeded: the process has taken much more memory than its budget.
            TrainingError: the loss is not finite, an unfinished run is another one, or the disk
                refused. The last good state stays on the disk.
            DomainError: the domain could not be written.
        """
        if restart:
            remove_run(self._folder)
        watch = MemoryWatch(controls.budget_bytes)
        training = _Training(self._folder, self.job, self.lesson)
        model, state, saver, stop = self._train(training, controls, watch)
        gates = self.job.gates
        if gates is None or not gates.looks_twice:
            outcome = self._outcome(training, model, state, stop)
            self._save(outcome, state, saver, state, stop)
            return state
        saver.save(state)  # who is stopped from here on goes on with the first look
        calibrated = self._calibrated(training, model, state, stop)
        full = model.stored(calibrated.tensors)
        del model  # makes room
        training = self._first_look(gates)
        model, first_state, saver, stop = self._train(training, controls, watch)
        first = self._calibrated(training, model, first_state, stop)
        stored = join_looks(full, model.stored(first.tensors))
        del model
        temperatures = calibrated.temperature, first.temperature
        px = training.job.image_px
        outcome = self._outcome_of_looks(gates, px, stored, temperatures, state)
        self._save(outcome, state, saver, first_state, stop)
        return state

    def _train(
        self, training: _Training, controls: Controls, watch: MemoryWatch
    ) -> tuple[Model, TrainingState, StateSaver, Callable[[], None]]:
        """Train one model, going on with its state if there is one.

        What is returned last stops what comes after training, if `controls` say so.
        """
        job, lesson = training.job, training.lesson
        model = self.engine.new_model(
            job.method, len(lesson.classes), seed=job.seed, gates=job.gates
        )
        model.prepare(job.settings)
        fingerprint = job.fingerprint(self.engine, lesson)
        unfinished = load_run(
            training.folder, fingerprint, model, job.steps_per_epoch(len(lesson.train))
        )
        state = unfinished or TrainingState()
        saver = StateSaver(training.folder, fingerprint, controls.save_every_s)
        # A full or read-only disk should be known before the work, not after it.
        require_space_for_run(training.folder, model)
        start = lesson.start
        if start is not None and not state.domain:  # nothing was learned yet
            model.load_state(start.state(self.engine, model, training.number))
        if model.gates is not None and not state.domain:
            model.gates.measure(measuring_batches(lesson.train, self.evaluation_batch))
        if unfinished is None:
            if start is not None:
                start.keep(self._folder)
            saver.save(state)
        watched = replace(
            controls,
            on_progress=lambda event: controls.on_progress(training.named(event)),
            should_stop=lambda: controls.should_stop() or watch.exceeds(),
        )
        if not train(model, job, lesson, state, saver, watched, self.evaluation_batch):
            saver.save(state)
            if watch.exceeded_bytes is not None:
                raise watch.error(self.name)
            raise self._stopped(training, state)

        def stop() -> None:
            if controls.should_stop():
                saver.save(state)  # which is at its end: what comes now is done anew
                raise self._stopped(training, state)

        return model, state, saver, stop

    def _first_look(self, gates: GateConfig) -> _Training:
        """Return how the same images are learned at the size of the first look."""
        px = first_look_px(self.engine, self.job.image_px, gates)
        return _Training(
            self._folder / FIRST_LOOK_FOLDER,
            self.job.resized(px),
            self.lesson.resized(px),
            number=1,
        )

    def _calibrated(
        self, training: _Training, model: Model, state: TrainingState, stop: Callable[[], None]
    ) -> Calibrated:
        """Calibrate the probabilities of the best state."""
        tensors, job = lifted(state.best, self.job.lift(self.lesson)), self.job
        # As whoever loads the domain has it.
        learned = self.engine.load_model(
            job.method, len(self.lesson.classes), model.stored(tensors), job.gates
        )
        held_out = some_held_out(training.lesson.val)
        return calibrate(learned, tensors, held_out, self.evaluation_batch, stop)

    def _outcome(
        self,
        training: _Training,
        model: Model,
        state: TrainingState,
        stop: Callable[[], None],
    ) -> _Outcome:
        """Settle the gates of a trained model, if it has any."""
        job = self.job
        tensors, temperature, said = self._calibrated(training, model, state, stop)
        if job.gates is None:
            stored = model.stored(tensors)
            return _Outcome(stored, (temperature,), state.best_record, {}, said=(said,))
        model.load_state(tensors)
        sizes = job.image_px, job.full_px
        report, scores = finish_gates(model, self.lesson.val, sizes, self.evaluation_batch)
        return _Outcome(
            model.stored(model.state()),
            (temperature,),
            replace(state.best_record, **score_fields(scores)),
            gates_fields(job.gates, job.full_px, report),
        )

    def _outcome_of_looks(
        self,
        gates: GateConfig,
        first_px: int,
        stored: State,
        temperatures: tuple[float, ...],
        state: TrainingState,
    ) -> _Outcome:
        """Settle which images of a domain with two looks get the second."""
        looks, report, scores = settle_looks(
            self.engine,
            self._models(stored),
            first_px,
            gates,
            self.lesson.val,
            self.evaluation_batch,
        )
        return _Outcome(
            stored,
            temperatures,
            replace(state.best_record, **score_fields(scores)),
            gates_fields(gates, self.job.full_px, report, looks),
            looks,
        )

    def _models(self, stored: State) -> tuple[Model, ...]:
        classes = len(self.lesson.classes)
        return models_of(self.engine, self.job.method, classes, self.job.gates, stored)

    def _save(
        self,
        outcome: _Outcome,
        state: TrainingState,
        saver: StateSaver,
        last: TrainingState,
        stop: Callable[[], None],
    ) -> None:
        """Save the domain; `last` is the state that `saver` keeps if that cannot be."""
        models, held_out = self._models(outcome.stored), some_held_out(self.lesson.val)
        learned = recogniser_of(models, outcome.looks, self.engine.backbone.input.interpolation)
        images, batch = self.lesson.train, self.evaluation_batch
        signature, error = sign(
            self.engine, learned, images, held_out, batch, stop, said=outcome.said
        )
        epochs = len(state.history)
        info = describe(self.engine, self.job, self.lesson, epochs, outcome.best, outcome.gates)
        calibration = dict(zip(TEMPERATURES, outcome.temperatures, strict=False))
        said = info.val_report | calibration | {CALIBRATION_ERROR: error}
        info = replace(info, val_report=said, signature=signature.fields())
        try:
            self.store.save(self.name, info, {**outcome.stored, **signature.tensors()})
        except DomainError:
            with contextlib.suppress(TrainingError):  # the first error is the one to report
                saver.save(last)
            raise
        with contextlib.suppress(OSError):  # the domain is saved; its history is a courtesy
            write_atomically(self.store.history_path(self.name), history_lines(state))
        with contextlib.suppress(TrainingError):  # in nobody's way
            remove_run(self._folder)

    def _stopped(self, training: _Training, state: TrainingState) -> LearningStopped:
        look = " of its first look" if training.number else ""
        return LearningStopped(
            f"Learning {self.name!r} stopped after {len(state.history)} of {self.job.epochs} "
            f"epochs{look} (best accuracy {state.best_accuracy:.1%}). What was learned is kept: do "
            "the same again to go on (without `restart=True`, which begins anew)."
        )
