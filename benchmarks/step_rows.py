"""The committed results of `addapt bench step`: looked up by method and setting, and as tables."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from result_rows import RESULTS, Row

from addapt.bench.contender import DEVICE, WHOLE_BATCH
from addapt.methods import METHODS

FOLDER = RESULTS / "step"
ENGINES = RESULTS / "engines"  # steps of DA3 on both engines
DEFAULT, SMALLEST = "default", "smallest"
HEADINGS = (
    *("method, setting", "at once", "packed"),
    *("process, MB", "memory, MB", "kept, MB", "s a step"),
)


def step_results(folder: Path = FOLDER) -> list[dict[str, Any]]:
    """Return all results, by backbone and batch."""
    results = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")]
    return sorted(results, key=lambda result: (result["backbone"], result["batch"]))


def title(result: dict[str, Any]) -> str:
    return f"{result['backbone']}, {result['image_px']} px, batch {result['batch']}"


def step_row(result: dict[str, Any], method: str, setting: str) -> Row | None:
    """Return the row of the product's method; of one without settings, its only row.

    What is trained in plain PyTorch to compare with ("eager:bias") is no method of the product.
    """
    engine = "eager" if METHODS[method].plain else "onnx" if setting == DEVICE else "torch"
    own: list[Row] = [
        row
        for row in result["rows"]
        if row["method"] == method and row["engine"] == engine and row["peak_bytes"] is not None
    ]
    for row in own:
        if row["setting"] == setting:
            return row
    return next((row for row in own if row["setting"] == WHOLE_BATCH and len(own) == 1), None)


def ratio(rival: Row | None, row: Row | None, name: str) -> float | None:
    """Return how many times more the rival takes of "peak_bytes" or "step_s"."""
    if rival is None or row is None or not rival[name] or not row[name]:
        return None
    if name == "step_s" and rival["ratio_time"] and row["ratio_time"]:
        # Both were compared with fine-tuning round by round, which is steadier than two medians.
        return float(row["ratio_time"] / rival["ratio_time"])
    return float(rival[name] / row[name])


def times(value: float | None) -> str:
    return "not run here" if value is None else f"{value:.1f}x"


def spread(values: Sequence[float | None]) -> str:
    """Write the range of what is known: "3.1x to 5.2x"."""
    known = [value for value in values if value is not None]
    if not known:
        return times(None)
    ends = sorted({times(min(known)), times(max(known))}, key=lambda text: float(text[:-1]))
    return " to ".join(ends)


def table(rows: Sequence[Row]) -> str:
    """Render the rows of one result as Markdown."""
    lines = [f"| {' | '.join(HEADINGS)} |", f"|---|{'---:|' * (len(HEADINGS) - 1)}"]
    for row in rows:
        setting = "" if row["setting"] == WHOLE_BATCH else f" {row['setting']}"
        if row["engine"] == "eager":
            setting += ", plain PyTorch"
        cells = (
            row["method"] + setting,
            row["micro_batch"],
            "yes" if row["packed"] else "",
            amount(row["process_bytes"], 1e6, row["ratio_process"]),
            amount(row["peak_bytes"], 1e6, row["ratio_memory"]),
            amount(row["kept_bytes"], 1e6, row["ratio_kept"]),
            amount(row["step_s"], 1, row["ratio_time"]),
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def amount(value: float | None, unit: float, ratio: float | None) -> str:
    """Write a value with three digits and, behind it, how many times less it is."""
    if value is None:
        return "–"
    number = f"{value / unit:.3g}" if value / unit < 1000 else f"{value / unit:.0f}"
    return number if ratio is None else f"{number} ({ratio:.1f}x)"
