"""The images that were taken for another class, as a table and as fields of JSON."""

from typing import TYPE_CHECKING, Any

from addapt.cli.output import add_row, make_table, print_table, say

if TYPE_CHECKING:
    from addapt.learning import Evaluation, ImageScores


def mistakes_title(evaluation: "Evaluation", shown: int) -> str:
    """Say of how many mistakes so many are shown."""
    wrong = evaluation.images - int(evaluation.confusion.trace())
    if not wrong:
        return f"All {evaluation.images} images were recognised."
    return f"{shown} of {wrong} mistakes, the most confident first"


def print_mistakes(evaluation: "Evaluation", most: int) -> None:
    """List the most confident mistakes, `most` at most."""
    mistakes = evaluation.mistakes(most)
    title = mistakes_title(evaluation, len(mistakes))
    if not mistakes:
        say(title)
        return
    table = make_table(title, "image", "class", "taken for", ">probability")
    for mistake in mistakes:
        probability = f"{mistake.probability:.1%}"
        add_row(table, mistake.image, mistake.label, mistake.predicted, probability)
    print_table(table)


def image_fields(scores: "ImageScores") -> list[dict[str, Any]]:
    """Return what a domain said of images, for programs."""
    return [
        {
            "image": str(score.image),
            "label": score.label,
            "predicted": score.predicted,
            "probability": score.probability,
            "correct": score.correct,
        }
        for score in scores
    ]
