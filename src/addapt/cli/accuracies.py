"""Accuracies in words: how sure they are with few images, and what they are class by class."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from addapt.domains import DomainInfo
    from addapt.learning import Evaluation, LearnReport


def accuracy_lines(report: "LearnReport") -> list[str]:
    """Say how well a domain was learned."""
    said = report.val_report
    few = _interval(report.val_images, said["interval"])
    return [
        f"Accuracy {report.val_accuracy:.1%} on {report.val_images} images held out"
        f"{few and f' ({few})'}.",
        *_by_class(said["balanced_accuracy"], **said["weakest"]),
        _calibration(said["calibration_error"]),
    ]


def evaluation_lines(evaluation: "Evaluation") -> list[str]:
    """Say below a table of classes what they come to together."""
    weakest = evaluation.weakest
    few = _interval(evaluation.images, evaluation.interval)
    by_class = _by_class(
        evaluation.balanced_accuracy, weakest.label, weakest.images, weakest.correct
    )
    return [
        *([f"On so few images the accuracy may be {few} in truth."] if few else []),
        *by_class,
        _calibration(evaluation.calibration_error),
        *_acceptance(evaluation.accepted),
    ]


def balanced_cells(info: "DomainInfo") -> tuple[str, str]:
    """Return what a table says of a domain's balanced accuracy and its weakest class."""
    said = info.val_report
    if not said:  # an older file
        return "–", "–"
    weakest = said["weakest"]
    share = f"{weakest['correct']} of {weakest['images']}"
    return f"{said['balanced_accuracy']:.1%}", f"{weakest['label']}: {share}"


def _calibration(error: float) -> str:
    return f"Probabilities are off by {error:.1%} on average."


def _acceptance(accepted: float | None) -> list[str]:
    if accepted is None:
        return ["Without a signature no image is refused as foreign: `addapt index` makes one."]
    return [f"Accepted as images of this domain: {accepted:.1%}."]


def _by_class(balanced: float, label: str, images: int, correct: int) -> list[str]:
    if correct == images:
        return []
    return [f"Balanced accuracy {balanced:.1%}; the weakest class, {label}, {correct} of {images}."]


def _interval(images: int, interval: "tuple[float, float] | list[float]") -> str:
    from addapt.learning.scores import FEW_IMAGES

    low, high = interval
    return f"{low:.0%} to {high:.0%}" if images < FEW_IMAGES else ""
