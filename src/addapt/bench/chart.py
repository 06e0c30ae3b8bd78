"""The comparison as an image: bars of memory and of time."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from addapt._disk import disk_reason
from addapt._errors import OptionError
from addapt.bench.contender import WHOLE_BATCH
from addapt.bench.step import StepRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW_INCHES = 0.45
COLORS = {"addapt": "tab:blue", "eager": "tab:gray"}
ROOM_FOR_NUMBERS = 0.25  # of the longest bar


def draw_comparison(rows: Sequence[StepRow], title: str, path: Path) -> None:
    """Draw a bar for each row's memory and time and write the image to `path`.

    Raises:
        OptionError: the image cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, ROW_INCHES * len(rows) + 1.6), layout="constrained")
    memory, time = figure.subplots(1, 2, sharey=True)
    for axes, label in ((memory, "memory above the loaded model, MB"), (time, "seconds a step")):
        axes.set_xlabel(label)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=ROOM_FOR_NUMBERS)
    for place, row in enumerate(rows):
        peak_mb = None if row.peak_bytes is None else row.peak_bytes / 1e6
        _draw_bar(memory, place, row, peak_mb, row.ratio_memory)
        _draw_bar(time, place, row, row.step_s, row.ratio_time)
    memory.set_yticks(range(len(rows)), [label_of(row) for row in rows], parse_math=False)
    memory.invert_yaxis()  # the first row on top; the axes share it
    figure.suptitle(title, parse_math=False)
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise OptionError(f"{path} could not be written because {disk_reason(error)}") from error


def label_of(row: StepRow) -> str:
    """Name a row: "da3, fastest (8, packed)", or "finetune, plain PyTorch"."""
    name = f"{row.method}, plain PyTorch" if row.engine == "eager" else row.method
    if row.setting == WHOLE_BATCH:
        return name
    return f"{name}, {row.setting} ({row.micro_batch}{', packed' if row.packed else ''})"


def _draw_bar(
    axes: "Axes", place: int, row: StepRow, value: float | None, ratio: float | None
) -> None:
    axes.barh(place, value or 0.0, color=COLORS[row.engine])
    words = "not measured" if value is None else f"{value:.3g}"
    # Fine-tuning itself needs no "1.0x"; a rival may well be worse, "0.8x".
    if ratio is not None and row.method != "finetune":
        words += f"  ({ratio:.1f}x)"
    axes.annotate(
        words, (value or 0.0, place), (4, 0), textcoords="offset points", va="center", fontsize=9
    )
