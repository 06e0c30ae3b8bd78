"""One run of learning: from a prepared lesson to a domain in the store, resumable in between."""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from addapt._disk import disk_reason, write_atomically
from addapt._errors import DomainError, OptionError, TrainingError
from addapt.domains import Store
from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.gates import Gates
from addapt.engines.torch.methods import AdaptedModel, Method, measure_gates, refit_gates
from addapt.images import Augmentation
from addapt.learning.description import describe
from addapt.learning.gating import GateReport, finish_gates, measuring_batches
from addapt.learning.loop import TrainingOptions, train
from addapt.learning.memory_watch import MemoryWatch
from addapt.learning.prepare import Lesson
from addapt.learning.progress import OnProgress, Progress
from addapt.learning.run_file import (
    THREADS,
    history_lines,
    load_run,
    remove_run,
    require_space_for_run,
)
from addapt.learning.saving import StateSaver
from addapt.learning.state import TrainingState
from addapt.learning.stopped import LearningStopped


def training_options(
    method: Method,
    *,
    train_images: int,
    epochs: int | None,
    batch: int | None,
    micro_batch: int | None,
    lr: float | None,
    seed: int,
    flip: bool,
) -> TrainingOptions:
    """Fill in what the method recommends for so many images where the user said nothing.

    Raises:
        OptionError: a value makes no sense.
    """
    recipe = method.recipe
    counts = {"--epochs": epochs, "--batch": batch, "--micro-batch": micro_batch}
    for option, value in counts.items():
        if value is not None and value < 1:
            raise OptionError(f"{option} is {value}: give at least 1.")
    batch = recipe.batch if batch is None else batch
    micro_batch = min(micro_batch or batch, batch)
    if method.batch_statistics and micro_batch == 1:
        raise OptionError(
            f"Method {method.name!r} needs statistics of several images: give --batch and "
            "--micro-batch of at least 2."
        )
    if not 0 <= seed < 2**63:
        raise OptionError(f"--seed is {seed}: give a number from 0 to 2^63 - 1.")
    if epochs is None:
        steps_per_epoch = math.ceil(train_images / batch)
        epochs = max(recipe.epochs, math.ceil(recipe.min_steps / steps_per_epoch))
    if lr is not None and not 0 < lr < math.inf:
        raise OptionError(f"--lr is {lr}: give a number above 0, such as {recipe.lr:g}.")
    lr_scale = 1.0 if lr is None else lr / recipe.lr
    return TrainingOptions(
        epochs=epochs,
        batch=batch,
        micro_batch=micro_batch,
        lr=recipe.lr if lr is None else lr,
        backbone_lr=recipe.backbone_lr * lr_scale,
        weight_decay=recipe.weight_decay,
        label_smoothing=recipe.label_smoothing,
        patience=max(1, math.ceil(recipe.patience * epochs)),
        seed=seed,
        augmentation=Augmentation.of_strength(recipe.augmentation, flip=flip),
    )


def run_fingerprint(
    backbone: Backbone,
    method: Method,
    lesson: Lesson,
    options: TrainingOptions,
    gates: Gates | None,
) -> dict[str, Any]:
    """Return everything that decides the result, to recognise an unfinished run by."""
    return {
        "backbone": backbone.info.name,
        "weights": backbone.info.weights_sha256,
        "method": method.name,
        "method's hyper-parameters": dataclasses.asdict(method),
        "image size": lesson.image_px,
        "image size without gates": lesson.full_px,
        "gates": None if gates is None else dataclasses.asdict(gates),
        THREADS: torch.get_num_threads(),
        **dataclasses.asdict(options),
        "list of classes": list(lesson.classes),
        "set of images": lesson.fingerprint,
    }


def run(
    name: str,
    store: Store,
    model: AdaptedModel,
    method: Method,
    lesson: Lesson,
    options: TrainingOptions,
    gates: Gates | None,
    *,
    restart: bool,
    evaluation_batch: int,
    save_every_s: float,
    budget_bytes: int | None,
    on_progress: OnProgress,
    should_stop: Callable[[], bool],
) -> tuple[TrainingState, GateReport | None]:
    """Train, going on with an unfinished run if there is one, and save the domain.

    Who calls this holds the lock of the domain.

    Returns:
        The run as it ended, and what its gates do if there are some.

    Raises:
        LearningStopped: `should_stop` said so.
        BudgetExceeded: the process has taken much more memory than `budget_bytes`.
        TrainingError: the loss is not finite, an unfinished run is another one, or the disk
            refused. The last good state stays on the disk.
        DomainError: the domain could not be written.
    """
    folder = store.state_path(name)
    fingerprint = run_fingerprint(model.backbone, method, lesson, options, gates)
    steps_per_epoch = math.ceil(len(lesson.train) / options.batch)
    if restart:
        _remove_unfinished(folder)
    unfinished = load_run(folder, fingerprint, model, steps_per_epoch)
    state = unfinished or TrainingState()
    saver = StateSaver(folder, fingerprint, save_every_s)
    watch = MemoryWatch(budget_bytes)

    def report(done: int, total: int) -> None:
        accuracy = state.history[-1].val_accuracy if state.history else None
        on_progress(Progress("learning", done, total, accuracy))

    # A full or read-only disk should be known before the work, not after it.
    require_space_for_run(folder, model)
    some_images = measuring_batches(model, lesson.train, evaluation_batch)
    if not state.domain:  # nothing was learned yet
        measure_gates(model, some_images)
    if unfinished is None:
        saver.save(state)
    complete = train(
        model,
        lesson.train,
        lesson.val,
        options,
        state,
        before_epoch=lambda: refit_gates(model, some_images),
        on_step=report,
        on_epoch=saver.save_epoch,
        evaluation_batch=evaluation_batch,
        should_stop=lambda: should_stop() or watch.exceeds(),
        should_save=saver.is_due,
        save=saver.save,
    )
    if not complete:
        saver.save(state)
        if watch.exceeded_bytes is not None:
            raise watch.error(name)
        raise LearningStopped(
            f"Learning {name!r} stopped after {len(state.history)} of {options.epochs} epochs "
            f"(best accuracy {state.best_accuracy:.1%}). What was learned is kept: "
            "give the same command again to go on (without --restart, which begins anew)."
        )
    tensors: Mapping[str, Tensor] = state.best
    gate_report = None
    if gates is not None:
        model.load_domain_state(state.best)
        gate_report = finish_gates(model, lesson, evaluation_batch)
        tensors = model.domain_state()
    info = describe(model.backbone, method, lesson, options, state, gates, gate_report)
    try:
        store.save(name, info, model.stored_state(tensors))
    except DomainError:
        with contextlib.suppress(TrainingError):  # the first error is the one to report
            saver.save(state)
        raise
    with contextlib.suppress(OSError):  # the domain is saved; its history is a courtesy
        write_atomically(store.history_path(name), history_lines(state))
    with contextlib.suppress(OSError):  # in nobody's way
        remove_run(folder)
    return state, gate_report


def _remove_unfinished(folder: Path) -> None:
    try:
        remove_run(folder)
    except OSError as error:
        raise TrainingError(
            f"The unfinished learning in {folder} could not be removed because {disk_reason(error)}"
        ) from error
