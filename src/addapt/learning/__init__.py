"""Teaching domains: the loop, its state, and the learner that ties everything together."""

from addapt.learning.learner import Learner
from addapt.learning.progress import OnProgress, Progress
from addapt.learning.reports import ClassScore, Evaluation, LearnReport, Prediction
from addapt.learning.run_file import unfinished_threads
from addapt.learning.stopped import BudgetExceeded, LearningStopped
from addapt.learning.threads import use_fastest_threads

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
