"""How each class did: the weakest ones in a terminal, all of them as a chart."""

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from addapt._text import natural_order, printable
from addapt.cli.drawing import write_chart
from addapt.cli.output import Share, add_row, make_table, print_table, say

if TYPE_CHECKING:
    from addapt.learning import ClassScore, Evaluation

MANY_CLASSES = 15  # of more than so many a terminal shows the weakest only
WEAKEST = 10
CLASSES_A_COLUMN = 50
LONGEST_NAME = 32


def weakest_first(scores: "Sequence[ClassScore]") -> "list[ClassScore]":
    """Sort by accuracy, of equals those with more images first; without classes of no image."""
    known = [(score.accuracy, score) for score in scores if score.accuracy is not None]
    known.sort(key=lambda pair: (pair[0], -pair[1].images))
    return [score for _, score in known]


def print_classes(evaluation: "Evaluation", *, every: bool) -> None:
    """List the classes; in a terminal only the weakest of many, unless `every` one is asked for."""
    scores = sorted(evaluation.per_class, key=lambda score: natural_order(score.label))
    is_long = sys.stdout.isatty() and len(scores) > MANY_CLASSES and not every
    title = (
        f"{evaluation.domain}: {evaluation.accuracy:.1%} of {evaluation.images} images recognised"
    )
    table = make_table(title, "class", ">images", ">recognised", "accuracy")
    for score in weakest_first(scores)[:WEAKEST] if is_long else scores:
        counts = f"{score.images}", f"{score.correct}"
        add_row(table, score.label, *counts, Share(score.accuracy))
    print_table(table)
    if is_long:
        say(f"These are the weakest of {len(scores)} classes: --all-classes shows all.")


def draw_per_class(evaluation: "Evaluation", path: Path) -> None:
    """Draw a bar for each class that has images, the weakest first, and write it to `path`.

    Many classes stand in several columns.
    """
    from matplotlib.figure import Figure

    scores = weakest_first(evaluation.per_class)
    columns = math.ceil(len(scores) / CLASSES_A_COLUMN)
    rows = math.ceil(len(scores) / columns)
    figure = Figure(figsize=(7 if columns == 1 else 5 * columns, 1.4 + 0.24 * rows))
    figure.set_layout_engine("constrained")
    for k, axes in enumerate(figure.subplots(1, columns, squeeze=False)[0]):
        part = scores[k * rows : (k + 1) * rows]
        shares = [100 * score.correct / score.images for score in part]
        bars = axes.barh(range(len(part)), shares, height=0.7, color="#4878a8")
        counts = [f"{score.correct} of {score.images}" for score in part]
        axes.bar_label(bars, counts, padding=3, fontsize=8, color="#555555")
        axes.set_yticks(range(len(part)), [_short(s.label) for s in part], parse_math=False)
        axes.set_ylim(rows - 0.4, -0.6)
        axes.set_xlim(0, 125)  # room for the counts behind a full bar
        axes.set_xticks(range(0, 101, 25))
        axes.set_xlabel("recognised, %")
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines["bottom"].set_bounds(0, 100)
    absent = len(evaluation.per_class) - len(scores)
    title = (
        f"{printable(evaluation.domain)}: {evaluation.accuracy:.1%} of "
        f"{evaluation.images} images recognised"
    )
    note = f"\nwithout the {absent} classes that have no images here" if absent else ""
    figure.suptitle(title + note, fontsize=11, parse_math=False)
    write_chart(figure, path)


def _short(label: str) -> str:
    text = printable(label)
    # Most of the end stays, as it tells classes apart.
    return text if len(text) <= LONGEST_NAME else f"{text[:10]}…{text[11 - LONGEST_NAME :]}"
