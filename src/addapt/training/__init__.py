"""Teaching domains: the loop, its state, and the learner that ties everything together."""

from addapt.training.learner import Learner
from addapt.training.progress import OnProgress, Progress
from addapt.training.reports import ClassScore, Evaluation, LearnReport, Prediction
from addapt.training.run import LearningStopped
from addapt.training.threads import use_fastest_threads

__all__ = [
    "ClassScore",
    "Evaluation",
    "LearnReport",
    "Learner",
    "LearningStopped",
    "OnProgress",
    "Prediction",
    "Progress",
    "use_fastest_threads",
]
