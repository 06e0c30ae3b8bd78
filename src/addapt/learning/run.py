"""One run of learning: from a prepared lesson to a domain in the store, resumable in between."""

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy.typing as npt

from addapt._disk import write_atomically
from addapt._errors import DomainError, TrainingError
from addapt.domains import Store
from addapt.engines.base import Engine, Model
from addapt.learning.balance import lifted
from addapt.learning.checkpoint import (
    history_lines,
    load_run,
    remove_run,
    require_space_for_run,
)
from addapt.learning.controls import Controls, LearningStopped, MemoryWatch
from addapt.learning.description import describe
from addapt.learning.gating import finish_gates, measuring_batches
from addapt.learning.job import Job
from addapt.learning.lesson import Lesson
from addapt.learning.loop import train
from addapt.learning.saving import StateSaver
from addapt.learning.state import TrainingState, score_fields


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
        job, lesson = self.job, self.lesson
        model = self.engine.new_model(
            job.method, len(lesson.classes), seed=job.seed, gates=job.gates
        )
        model.prepare(job.settings)
        fingerprint = job.fingerprint(self.engine, lesson)
        if restart:
            remove_run(self._folder)
        unfinished = load_run(
            self._folder, fingerprint, model, job.steps_per_epoch(len(lesson.train))
        )
        state = unfinished or TrainingState()
        saver = StateSaver(self._folder, fingerprint, controls.save_every_s)
        # A full or read-only disk should be known before the work, not after it.
        require_space_for_run(self._folder, model)
        start = self.lesson.start
        if start is not None and not state.domain:  # nothing was learned yet
            model.load_state(start.state(self.engine, model))
        if model.gates is not None and not state.domain:
            model.gates.measure(measuring_batches(lesson.train, self.evaluation_batch))
        if unfinished is None:
            if start is not None:
                start.keep(self._folder)
            saver.save(state)
        watch = MemoryWatch(controls.budget_bytes)
        watched = replace(controls, should_stop=lambda: controls.should_stop() or watch.exceeds())
        if not train(model, job, lesson, state, saver, watched, self.evaluation_batch):
            saver.save(state)
            if watch.exceeded_bytes is not None:
                raise watch.error(self.name)
            raise self._stopped(state)
        self._finish(model, state, saver)
        return state

    def _finish(self, model: Model, state: TrainingState, saver: StateSaver) -> None:
        tensors: Mapping[str, npt.NDArray[Any]] = lifted(state.best, self.job.lift(self.lesson))
        best, gate_report = state.best_record, None
        if self.job.gates is not None:
            model.load_state(tensors)
            sizes = self.job.image_px, self.job.full_px
            gate_report, scores = finish_gates(model, self.lesson.val, sizes, self.evaluation_batch)
            best = replace(best, **score_fields(scores))
            tensors = model.state()
        info = describe(self.engine, self.job, self.lesson, len(state.history), best, gate_report)
        try:
            self.store.save(self.name, info, model.stored(tensors))
        except DomainError:
            with contextlib.suppress(TrainingError):  # the first error is the one to report
                saver.save(state)
            raise
        with contextlib.suppress(OSError):  # the domain is saved; its history is a courtesy
            write_atomically(self.store.history_path(self.name), history_lines(state))
        with contextlib.suppress(TrainingError):  # in nobody's way
            remove_run(self._folder)

    def _stopped(self, state: TrainingState) -> LearningStopped:
        return LearningStopped(
            f"Learning {self.name!r} stopped after {len(state.history)} of {self.job.epochs} "
            f"epochs (best accuracy {state.best_accuracy:.1%}). What was learned is kept: do the "
            "same again to go on (without `restart=True`, which begins anew)."
        )
