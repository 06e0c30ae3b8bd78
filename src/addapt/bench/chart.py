"""The comparison as an image: bars of whole processes, of memory and of time."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from addapt._disk import disk_reason
from addapt._errors import OptionError
from addapt.bench.contender import DEVICE, WHOLE_BATCH
from addapt.bench.step import StepRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW_INCHES = 0.45
COLORS = {"onnx": "tab:red", "torch": "tab:blue", "eager": "tab:gray"}
ROOM_FOR_NUMBERS = 0.35  # of the longest bar


def draw_comparison(rows: Sequence[StepRow], title: str, path: Path) -> None:
    """Draw bars of each row's process, memory and time, and write the image to `path`.

    Raises:
        OptionError: the image cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, ROW_INCHES * len(rows) + 1.6), layout="constrained")
    process, memory, time = figure.subplots(1, 3, sharey=True)
    for axes, label in (
        (process, "whole process, MB"),
        (memory, "memory above the loaded model, MB"),
        (time, "seconds a step"),
    ):
        axes.set_xlabel(label)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=ROOM_FOR_NUMBERS)
    for place, row in enumerate(rows):
        _draw_bar(process, place, row, _megabytes(row.process_bytes), row.ratio_process)
        _draw_bar(memory, place, row, _megabytes(row.peak_bytes), row.ratio_memory)
        _draw_bar(time, place, row, row.step_s, row.ratio_time)
    process.set_yticks(range(len(rows)), [label_of(row) for row in rows], parse_math=False)
    process.invert_yaxis()  # the first row on top; the axes share it
    figure.suptitle(title, parse_math=False)
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise OptionError(f"{path} could not be written because {disk_reason(error)}") from error


def label_of(row: StepRow) -> str:
    """Name a row, such as "da3, fastest (8, packed)" or "finetune, plain PyTorch"."""
    name = f"{row.method}, plain PyTorch" if row.engine == "eager" else row.method
    if row.setting == WHOLE_BATCH:
        return name
    if row.setting == DEVICE:
        return f"{name}, without PyTorch ({row.micro_batch})"
    return f"{name}, {row.setting} ({row.micro_batch}{', packed' if row.packed else ''})"


def _megabytes(count: int | None) -> float | None:
    return None if count is None else count / 1e6


def _draw_bar(
    axes: "Axes", place: int, row: StepRow, value: float | None, ratio: float | None
) -> None:
    axes.barh(place, value or 0.0, color=COLORS[row.engine])
    words = "not measured"
    if value is not None:
        words = f"{value:.0f}" if value >= 1000 else f"{value:.3g}"
    # Fine-tuning itself needs no "1.0x"; a rival may well be worse, "0.8x".
    if ratio is not None and row.method != "finetune":
        words += f"  ({ratio:.1f}x)"
    axes.annotate(
        words, (value or 0.0, place), (4, 0), textcoords="offset points", va="center", fontsize=9
    )
