"""Teaching domains: the loop, its state, and the learner that ties everything together."""

from addapt.training.learner import Learner
from addapt.training.progress import OnProgress, Progress
from addapt.training.reports import ClassScore, Evaluation, LearnReport, Prediction
from addapt.training.run_file import unfinished_threads
from addapt.training.stopped import BudgetExceeded, LearningStopped
from addapt.training.threads import use_fastest_threads

__all__ = [
    "BudgetExceeded",
    "ClassScore",
    "Evaluation",
    "LearnReport",
    "Learner",
    "LearningStopped",
    "OnProgress",
    "Prediction",
    "Progress",
    "unfinished_threads",
    "use_fastest_threads",
]
