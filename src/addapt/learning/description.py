"""What a domain's file says about how the domain was learned."""

import dataclasses
import datetime
import os
import platform
from importlib.metadata import version

import torch

from addapt._errors import OptionError
from addapt.domains import SCHEMA, DomainInfo
from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.gates import Gates
from addapt.engines.torch.methods import Method
from addapt.learning.gating import GateReport, gates_fields
from addapt.learning.loop import TrainingOptions
from addapt.learning.prepare import Lesson
from addapt.learning.state import TrainingState

DATE_VARIABLE = "SOURCE_DATE_EPOCH"  # https://reproducible-builds.org/specs/source-date-epoch/


def describe(
    backbone: Backbone,
    method: Method,
    lesson: Lesson,
    options: TrainingOptions,
    state: TrainingState,
    gates: Gates | None = None,
    gate_report: GateReport | None = None,
) -> DomainInfo:
    """Return the description of a domain that has just been learned.

    Its accuracy is that of the best epoch, or, with gates, of what they made of it.
    """
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
        val_accuracy=gate_report.accuracy if gate_report else state.best_accuracy,
        epochs=len(state.history),
        options={"weights": backbone.info.weights, **dataclasses.asdict(options)},
        gates=gates_fields(gates, lesson.full_px, gate_report),
        versions={
            "addapt": version("addapt"),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        date=date(),
    )


def date() -> str:
    """Return the time of day, UTC, to the second, or that which the environment asks for.

    It is all that differs between the files of two equal runs.

    Raises:
        OptionError: the environment asks for what is no time.
    """
    asked = os.environ.get(DATE_VARIABLE)
    try:
        now = (
            datetime.datetime.now(datetime.timezone.utc)
            if asked is None
            else datetime.datetime.fromtimestamp(int(asked), datetime.timezone.utc)
        )
    except (ValueError, OverflowError, OSError):
        raise OptionError(
            f"The environment variable {DATE_VARIABLE} is {asked!r}: set it to a number of "
            "seconds since 1970, or unset it."
        ) from None
    return now.isoformat(timespec="seconds")
