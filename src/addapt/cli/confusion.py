"""The confusion matrix as a chart."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from addapt._text import natural_order, printable
from addapt.cli.drawing import write_chart

if TYPE_CHECKING:
    from addapt.learning import Evaluation

MAX_NUMBERED_CLASSES = 25  # more have smaller cells, in which numbers could not be read


def draw_confusion(evaluation: "Evaluation", path: Path) -> None:
    """Draw which classes were taken for which, rows summing to one, and write it to `path`."""
    import numpy as np
    from matplotlib.figure import Figure

    scores = evaluation.per_class
    order = sorted(range(len(scores)), key=lambda label: natural_order(scores[label].label))
    counts = evaluation.confusion[np.ix_(order, order)]
    shares = counts / counts.sum(1, keepdims=True).clip(min=1)
    labels = [printable(scores[label].label) for label in order]
    is_small = len(labels) <= MAX_NUMBERED_CLASSES
    side = max(4.0, (0.32 if is_small else 0.13) * len(labels) + 2)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    text: dict[str, Any] = {"parse_math": False, "fontsize": 10 if is_small else 7}
    axes.set_xticks(range(len(labels)), labels, rotation=90, **text)
    axes.set_yticks(range(len(labels)), labels, **text)
    axes.set(xlabel="taken for", ylabel="class")
    axes.set_title(f"{printable(evaluation.domain)}: {evaluation.accuracy:.1%}", parse_math=False)
    if is_small:
        for row, column in np.argwhere(counts).tolist():
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", color=color)
    write_chart(figure, path)
