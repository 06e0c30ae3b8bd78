"""What learning takes with each micro-batch, and what fits, before any image is there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from addapt._errors import OptionError
from addapt.backbones import check_backbone
from addapt.learning.budget import above_bytes, micro_batches, too_small_budget
from addapt.learning.lesson import check_image_px
from addapt.learning.trial import Question
from addapt.learning.trial_process import order_trial
from addapt.memory import rss_bytes


@dataclass(frozen=True)
class PlanRow:
    """One size of micro-batch.

    `above_bytes` are those of learning above the loaded backbone, `process_bytes` those of the
    whole process, on top of which come the decoded images in memory; `step_s` is rough.
    """

    method: str
    micro_batch: int
    above_bytes: int
    process_bytes: int
    step_s: float
    fits: bool


def plan(
    order: dict[str, Any], question: Question, budget_bytes: int | None = None
) -> tuple[PlanRow, ...]:
    """Try some steps in another process and say what learning takes with each micro-batch.

    What this very process holds beside counts as well, so ask before an engine is opened in it:
    `order` is what `open_engine` takes. The budget is for the whole process.

    Raises:
        UnknownNameError: there is no such backbone.
        OptionError: such steps cannot be made.
        TrainingError: the trial failed.
    """
    check_question(question)
    check_backbone(order["backbone"])  # refuses a name before a process is started
    here_bytes = rss_bytes()
    trial = order_trial(order, question)
    beside = 0
    if here_bytes is not None and trial.started_bytes is not None:
        beside = max(0, here_bytes - trial.started_bytes)
    rows = []
    for size in micro_batches(question.method, question.batch):
        above = above_bytes(trial, size, 0)
        process = (trial.held_bytes or 0) + beside + above
        rows.append(
            PlanRow(
                method=question.method.name,
                micro_batch=size,
                above_bytes=above,
                process_bytes=process,
                step_s=trial.image_s * question.batch,
                fits=budget_bytes is None or process <= budget_bytes,
            )
        )
    return tuple(rows)


def require_fit(rows: Sequence[PlanRow]) -> None:
    """Raise the OptionError that names the smallest budget that would do, if no row keeps to it."""
    if not any(row.fits for row in rows):
        raise too_small_budget(min(row.process_bytes for row in rows))


def check_question(question: Question) -> None:
    """Raise an OptionError if a number makes no sense."""
    least = 2 if question.method.batch_statistics else 1
    if question.batch < least:
        raise OptionError(f"`batch` is {question.batch}: give at least {least}.")
    check_image_px(question.image_px)
