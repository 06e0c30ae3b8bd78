"""Teaching a domain from beginning to end: from a folder of images to a file in the store."""

import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from addapt.domains import Store, temporary_prefix, writing
from addapt.domains.info import EXTENDED
from addapt.engines import Engines
from addapt.images import ScratchFile
from addapt.learning.budget import allot
from addapt.learning.checkpoint import largest_run_bytes
from addapt.learning.controls import Controls
from addapt.learning.description import date, score_warnings
from addapt.learning.evaluation import EVALUATION_BATCH
from addapt.learning.extending import find_start
from addapt.learning.job import (
    VAL_FRACTION,
    Asked,
    Job,
    asked_method,
    check_asked,
    method_for,
)
from addapt.learning.lesson import find_images, prepare_lesson
from addapt.learning.place import refuse_place
from addapt.learning.reports import LearnReport
from addapt.learning.run import Run
from addapt.memory import lean_allocator, process_peak_bytes


def teach(
    engines: Engines,
    store: Store,
    name: str,
    folder: Path,
    asked: Asked,
    controls: Controls,
    *,
    restart: bool,
    extend: bool,
) -> LearnReport:
    """Learn a domain and save it; see `Learner.learn`."""
    started = time.perf_counter()
    # Options are checked before any image is read.
    start = find_start(store, name, restart=restart) if extend else None
    if start is not None:
        asked = start.asked(asked)
    engine = engines.able(asked_method(asked), asked.get("gates"))
    method = method_for(asked, engine)
    check_asked(asked, method)
    date()
    if start is not None:
        start.require_backbone(engine)
    refuse_place(store, name, folder, over=restart or extend)
    # Without a budget freed memory is kept for the next step, unless the engine does that: to
    # get it anew from the system each time costs a third of the time.
    budgeted = controls.budget_bytes is not None
    with lean_allocator() if budgeted or engine.keeps_memory else nullcontext():
        found = find_images(
            folder,
            engine,
            image_px=asked.get("image_px"),
            val_fraction=asked.get("val_fraction", VAL_FRACTION),
            gates=asked.get("gates"),
            start=start,
        )
        unfinished = None if restart else store.state_path(name)
        allotment = allot(engine, method, asked, found, controls, unfinished)
        controls = replace(controls, cache_bytes=allotment.cache_bytes)
        with writing(store.folder, name):
            # Another program may have been quicker.
            refuse_place(store, name, folder, over=restart or extend)
            if start is not None:
                start.require_unchanged()
            aside = ScratchFile(store.folder, temporary_prefix(name), largest_run_bytes(engine))
            lesson = prepare_lesson(found, engine, asked.get("seed", 0), controls, aside)
            job = Job.of(asked, method, lesson, allotment.micro_batch)
            # Evaluation keeps nothing, but takes whole maps of all blocks.
            at_once = engine.at_once(lesson.image_px, EVALUATION_BATCH)
            evaluation_batch = 1 if budgeted else at_once
            run = Run(name, store, engine, job, lesson, evaluation_batch)
            state = run.learn(controls, restart=restart)
    path = store.path(name)
    info = store.info(name)
    return LearnReport(
        name=name,
        method=method.name,
        engine=engine.name,
        classes=lesson.classes,
        train_images=len(lesson.train),
        val_images=len(lesson.val),
        val_accuracy=info.val_accuracy,
        val_report=info.val_report,
        balance=job.balance,
        gates=info.gates,
        value_range=info.value_range,
        epochs=len(state.history),
        best_epoch=state.best_epoch,
        image_px=lesson.image_px,
        flip=job.augmentation.flip,
        file=path,
        file_bytes=path.stat().st_size,
        learn_s=time.perf_counter() - started,
        unreadable=lesson.unreadable,
        copies=lesson.copies,
        micro_batch=job.micro_batch,
        budget_bytes=controls.budget_bytes,
        process_peak_bytes=process_peak_bytes() if budgeted else None,
        warnings=(
            *found.contents.warnings,
            *lesson.warnings,
            *score_warnings(lesson, job.balance),
        ),
        extended=info.options[EXTENDED][-1] if extend else {},
        passed_over=dict(found.contents.passed_over.counts),
        left_alone=found.contents.left_alone,
    )
