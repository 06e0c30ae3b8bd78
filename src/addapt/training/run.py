"""One run of learning: from a prepared lesson to a domain in the store, resumable in between."""

import contextlib
import dataclasses
import datetime
import math
import platform
import shutil
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import torch

from addapt._disk import disk_reason, write_atomically
from addapt._errors import OptionError, TrainingError
from addapt.backbones import Backbone
from addapt.data import Augmentation
from addapt.domains import SCHEMA, DomainInfo, Store
from addapt.methods import AdaptedModel, Method
from addapt.training.loop import TrainingOptions, train
from addapt.training.prepare import Lesson
from addapt.training.progress import OnProgress, Progress
from addapt.training.run_file import history_lines, load_run, save_run
from addapt.training.state import TrainingState


class LearningStopped(TrainingError):
    """Learning was asked to stop; what was learned so far is kept, to go on with."""

    exit_code = 130  # what a shell reports for an interrupted command


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
    """Fill in what the method recommends for so many pictures where the user said nothing.

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
            f"Method {method.name!r} needs statistics of several pictures: give --batch and "
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
    backbone: Backbone, method: Method, lesson: Lesson, options: TrainingOptions
) -> dict[str, Any]:
    """Return everything that decides the result, to recognise an unfinished run by."""
    return {
        "backbone": backbone.info.name,
        "weights": backbone.info.weights_sha256,
        "method": method.name,
        "method's hyper-parameters": dataclasses.asdict(method),
        "image size": lesson.image_px,
        **dataclasses.asdict(options),
        "list of classes": list(lesson.classes),
        "set of pictures": lesson.fingerprint,
    }


def run(
    name: str,
    store: Store,
    model: AdaptedModel,
    method: Method,
    lesson: Lesson,
    options: TrainingOptions,
    *,
    restart: bool,
    evaluation_batch: int,
    on_progress: OnProgress,
    should_stop: Callable[[], bool],
) -> TrainingState:
    """Train, going on with an unfinished run if there is one, and save the domain.

    Raises:
        LearningStopped: `should_stop` said so.
        TrainingError: the loss is not finite, an unfinished run is another one, or the disk
            refused. The last good state stays on the disk.
        DomainError: the domain could not be written.
    """
    folder = store.state_path(name)
    fingerprint = run_fingerprint(model.backbone, method, lesson, options)
    if restart and folder.exists():
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise TrainingError(
                f"The unfinished learning in {folder} could not be removed because "
                f"{disk_reason(error)}"
            ) from error
    state = load_run(folder, fingerprint) or TrainingState()

    def save(state: TrainingState) -> None:
        save_run(folder, state, fingerprint)

    def save_epoch(state: TrainingState) -> None:
        save(state)
        state.release()

    def report(done: int, total: int) -> None:
        state.release()  # what an unfinished run began with is in the model by now
        accuracy = state.history[-1].val_accuracy if state.history else None
        on_progress(Progress("learning", done, total, accuracy))

    save(state)  # a full or read-only disk should be known before the work, not after it
    complete = train(
        model,
        lesson.train,
        lesson.val,
        options,
        state,
        on_step=report,
        on_epoch=save_epoch,
        evaluation_batch=evaluation_batch,
        should_stop=should_stop,
    )
    if not complete:
        if state.domain:  # otherwise the end of an epoch has saved and released it
            save(state)
        raise LearningStopped(
            f"Learning {name!r} stopped after {len(state.history)} of {options.epochs} epochs "
            f"(best accuracy {state.best_accuracy:.1%}). What was learned is kept: "
            "give the same command again to go on (without --restart, which begins anew)."
        )
    info = _describe(model.backbone, method, lesson, options, state)
    store.save(name, info, model.stored_state(state.best))
    with contextlib.suppress(OSError):  # the domain is saved; its history is a courtesy
        write_atomically(store.history_path(name), history_lines(state))
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):  # another domain may be half learned
        folder.parent.rmdir()
    return state


def _describe(
    backbone: Backbone,
    method: Method,
    lesson: Lesson,
    options: TrainingOptions,
    state: TrainingState,
) -> DomainInfo:
    now = datetime.datetime.now(datetime.timezone.utc)
    return DomainInfo(
        schema=SCHEMA,
        backbone=backbone.info.name,
        weights_sha256=backbone.info.weights_sha256,
        method=method.name,
        hyperparameters=dataclasses.asdict(method),
        classes=lesson.classes,
        image_px=lesson.image_px,
        mean=backbone.info.input.mean,
        std=backbone.info.input.std,
        interpolation=backbone.info.input.interpolation,
        seed=options.seed,
        train_images=len(lesson.train),
        val_images=len(lesson.val),
        val_accuracy=state.best_accuracy,
        epochs=len(state.history),
        options={"weights": backbone.info.weights, **dataclasses.asdict(options)},
        versions={
            "addapt": version("addapt"),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        date=now.isoformat(timespec="seconds"),
    )
