"""What a domain's file says about how the domain was learned."""

import dataclasses
import datetime
import os
import platform
import time
from importlib.metadata import version
from typing import Any

import numpy as np

from addapt._errors import OptionError
from addapt.domains import SCHEMA, DomainInfo
from addapt.domains.info import EXTENDED, HELD_OUT
from addapt.engines.base import Engine
from addapt.learning.balance import imbalance_warning
from addapt.learning.held_out import held_out_before, held_out_text
from addapt.learning.job import Job
from addapt.learning.lesson import Lesson
from addapt.learning.scores import meaning, wilson_interval
from addapt.learning.state import EpochRecord
from addapt.methods import Method

DATE_VARIABLE = "SOURCE_DATE_EPOCH"  # https://reproducible-builds.org/specs/source-date-epoch/


def describe(
    engine: Engine,
    job: Job,
    lesson: Lesson,
    epochs: int,
    best: EpochRecord,
    gates: dict[str, Any],
) -> DomainInfo:
    """Return the description of a domain that has just been learned in so many epochs.

    Its accuracy is that of the best one; with gates, of which the file says `gates`, of what they
    made of it. The signature is yet to come.
    """
    return DomainInfo(
        **made_with(engine, job.method),
        classes=lesson.classes,
        image_px=lesson.image_px,
        seed=job.seed,
        train_images=len(lesson.train),
        val_images=len(lesson.val),
        val_accuracy=best.val_accuracy,
        val_report=_val_report(lesson, best),
        value_range=lesson.value_range,
        epochs=epochs,
        options={"weights": engine.backbone.weights, **job.options, **_for_the_next(lesson)},
        gates=gates,
        signature={},
    )


def made_with(engine: Engine, method: Method) -> dict[str, Any]:
    """Return the fields of a domain that are of the backbone, the method, the software and now."""
    backbone = engine.backbone
    return {
        "schema": SCHEMA,
        "backbone": backbone.name,
        "weights_sha256": backbone.weights_sha256,
        "method": method.name,
        "hyperparameters": dataclasses.asdict(method),
        "mean": backbone.input.mean,
        "std": backbone.input.std,
        "interpolation": backbone.input.interpolation,
        "versions": {
            "addapt": version("addapt"),
            **engine.versions,
            "numpy": version("numpy"),
            "python": platform.python_version(),
        },
        "date": date(),
    }


def _val_report(lesson: Lesson, best: EpochRecord) -> dict[str, Any]:
    """Return what stands beside the accuracy: by class, and how sure it is."""
    report: dict[str, Any] = {
        "balanced_accuracy": best.val_balanced_accuracy,
        "weakest": {
            "label": lesson.classes[best.weakest_class],
            "images": best.weakest_images,
            "correct": best.weakest_correct,
        },
        "interval": list(wilson_interval(best.val_accuracy, len(lesson.val))),
    }
    words = meaning(lesson.train.labels, lesson.val.labels, lesson.classes)
    return {**report, "meaning": words} if words else report


def score_warnings(lesson: Lesson, balance: bool) -> tuple[str, ...]:
    """Say what to know before a domain's accuracy is believed."""
    train, val, classes = lesson.train.labels, lesson.val.labels, lesson.classes
    said = imbalance_warning(train, classes, balance), meaning(train, val, classes)
    return tuple(words for words in said if words)


def _for_the_next(lesson: Lesson) -> dict[str, Any]:
    """Return what whoever goes on with the domain should know."""
    start, known = lesson.start, dict[str, Any]()
    if start is not None:
        known[EXTENDED] = start.described()
    if lesson.held_out is not None:
        before = held_out_before(start.info) if start else None
        if before is not None:
            before = np.setdiff1d(before, lesson.train.checksums)
        known[HELD_OUT] = held_out_text(lesson.held_out, before)
    return known


def date() -> str:
    """Return the time of day, UTC, to the second, or that which the environment asks for.

    It is all that differs between the files of two equal runs.

    Raises:
        OptionError: the environment asks for what is no time.
    """
    asked = os.environ.get(DATE_VARIABLE)
    try:
        seconds = time.time() if asked is None else int(asked)
        now = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    except (ValueError, OverflowError, OSError):
        raise OptionError(
            f"The environment variable {DATE_VARIABLE} is {asked!r}: set it to a number of "
            "seconds since 1970, or unset it."
        ) from None
    return now.isoformat(timespec="seconds")
