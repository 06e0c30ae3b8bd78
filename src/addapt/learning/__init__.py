"""Teaching domains: the job, the loop, its state, and the learner that ties everything together.

Names are imported when they are first used: checking a store needs few of these files.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from addapt.learning.checkpoint import unfinished_threads
    from addapt.learning.controls import (
        BudgetExceeded,
        Controls,
        LearningStopped,
        OnProgress,
        Progress,
    )
    from addapt.learning.image_scores import ImageScore, ImageScores
    from addapt.learning.job import Asked, Job
    from addapt.learning.learner import Learner
    from addapt.learning.reports import (
        ClassScore,
        Evaluation,
        ExportReport,
        LearnReport,
        Prediction,
        Recognition,
    )
    from addapt.learning.threads import use_fastest_threads

__all__ = [
    "Asked",
    "BudgetExceeded",
    "ClassScore",
    "Controls",
    "Evaluation",
    "ExportReport",
    "ImageScore",
    "ImageScores",
    "Job",
    "LearnReport",
    "Learner",
    "LearningStopped",
    "OnProgress",
    "Prediction",
    "Progress",
    "Recognition",
    "unfinished_threads",
    "use_fastest_threads",
]

_FILES = {
    "Asked": "job",
    "BudgetExceeded": "controls",
    "ClassScore": "reports",
    "Controls": "controls",
    "Evaluation": "reports",
    "ExportReport": "reports",
    "ImageScore": "image_scores",
    "ImageScores": "image_scores",
    "Job": "job",
    "LearnReport": "reports",
    "Learner": "learner",
    "LearningStopped": "controls",
    "OnProgress": "controls",
    "Prediction": "reports",
    "Progress": "controls",
    "Recognition": "reports",
    "unfinished_threads": "checkpoint",
    "use_fastest_threads": "threads",
}


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_FILES[name]}"), name)
