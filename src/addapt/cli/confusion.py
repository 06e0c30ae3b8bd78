"""The confusion matrix as an image."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from addapt._disk import disk_reason
from addapt._errors import MissingPackageError, OptionError
from addapt._text import printable

if TYPE_CHECKING:
    from addapt.learning import Evaluation

FORMATS = (".png", ".svg", ".pdf")
MAX_NUMBERED_CLASSES = 25  # with more, numbers in the cells could not be read


def check_drawing(path: Path) -> None:
    """Refuse before any work what could not be drawn after it.

    Raises:
        MissingPackageError: matplotlib is not installed.
        OptionError: `path` has an ending that is not an image's, or no folder.
    """
    if find_spec("matplotlib") is None:
        raise MissingPackageError(
            "Drawing needs matplotlib, which is not installed: pip install 'addapt[plot]'."
        )
    if path.suffix.lower() not in FORMATS:
        raise OptionError(f"The image {path} must end in one of {', '.join(FORMATS)}.")
    if not path.parent.is_dir():
        raise OptionError(f"The folder of the image {path} does not exist: make it first.")


def draw_confusion(evaluation: "Evaluation", path: Path) -> None:
    """Draw which classes were taken for which, rows summing to one, and write it to `path`."""
    import numpy as np
    from matplotlib.figure import Figure

    counts = evaluation.confusion
    shares = counts / counts.sum(1, keepdims=True).clip(min=1)
    labels = [printable(score.label) for score in evaluation.per_class]
    side = max(4.0, 0.32 * len(labels) + 2)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(labels)), labels, rotation=90, parse_math=False)
    axes.set_yticks(range(len(labels)), labels, parse_math=False)
    axes.set(xlabel="taken for", ylabel="class")
    axes.set_title(f"{printable(evaluation.domain)}: {evaluation.accuracy:.1%}", parse_math=False)
    if len(labels) <= MAX_NUMBERED_CLASSES:
        for row, column in np.argwhere(counts).tolist():
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", color=color)
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise OptionError(f"{path} could not be written because {disk_reason(error)}") from error
