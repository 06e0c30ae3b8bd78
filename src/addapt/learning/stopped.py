"""Learning that ended before its time, with what was learned kept."""

from addapt._errors import TrainingError


class LearningStopped(TrainingError):
    """Learning was asked to stop; what was learned so far is kept, to go on with."""

    exit_code = 130  # what a shell reports for an interrupted command


class BudgetExceeded(TrainingError):
    """Learning took much more memory than its budget; what was learned so far is kept."""
