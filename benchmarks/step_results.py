"""Tables and charts of the committed results of `addapt bench step`.

python benchmarks/step_results.py      # prints Markdown, writes docs/step_*.png
"""

import json
from pathlib import Path
from typing import Any

from addapt.bench.chart import draw_comparison
from addapt.bench.contender import WHOLE_BATCH
from addapt.bench.step import StepRow

RESULTS = Path(__file__).parent / "results" / "step"
DOCS = Path(__file__).parents[1] / "docs"
HEADINGS = (
    "method, setting",
    "at once",
    "packed",
    "memory, MB",
    "kept, MB",
    "s a step",
    "process, MB",
)


def main() -> None:
    for path in sorted(RESULTS.glob("*.json")):
        result = json.loads(path.read_text())
        rows = [StepRow(**row) for row in result["rows"]]
        title = f"{result['backbone']}, {result['image_px']} px, batch {result['batch']}"
        draw_comparison(rows, title, DOCS / f"step_{path.stem}.png")
        print(f"**{title}**, {result['threads']} threads, {result['rounds']} rounds\n")
        print(table(result["rows"]))


def table(rows: list[dict[str, Any]]) -> str:
    lines = [f"| {' | '.join(HEADINGS)} |", f"|---|{'---:|' * (len(HEADINGS) - 1)}"]
    for row in rows:
        setting = "" if row["setting"] == WHOLE_BATCH else f" {row['setting']}"
        if row["engine"] == "eager":
            setting += ", plain PyTorch"
        cells = (
            row["method"] + setting,
            row["micro_batch"],
            "yes" if row["packed"] else "",
            amount(row["peak_bytes"], 1e6, row["ratio_memory"]),
            amount(row["kept_bytes"], 1e6, row["ratio_kept"]),
            amount(row["step_s"], 1, row["ratio_time"]),
            amount(row["process_bytes"], 1e6, None),
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def amount(value: float | None, unit: float, ratio: float | None) -> str:
    """Write a value with three digits and, behind it, how many times less it is."""
    if value is None:
        return "–"
    number = f"{value / unit:.3g}" if value / unit < 1000 else f"{value / unit:.0f}"
    return number if ratio is None else f"{number} ({ratio:.1f}x)"


if __name__ == "__main__":
    main()
