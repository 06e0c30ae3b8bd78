"""The tables of docs/MEMORY.md, and some of README.md, from the committed results.

    python benchmarks/memory_tables.py

Writes each between its marks, such as `<!-- stages -->` and `<!-- end -->`.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import where_memory_goes
import whole_process
from result_rows import RESULTS, ROOT, Row
from step_rows import DEFAULT, ENGINES, ratio, step_results, step_row, times
from trial import BACKBONE
from whole_process import FINETUNE, LARGE

from addapt.bench.contender import DEVICE

NOT_RUN = "not run here"
PREDICT = RESULTS / "predict.json"
SYSTEM_ALLOCATOR = RESULTS / "step_system_allocator.json"
PAGE = ROOT / "docs" / "MEMORY.md"
ONNX, TORCH = "onnx", "torch"
# Stages by the beginnings of their names, which tell images at once.
STAGES = (
    *("interpreter", "command line", "NumPy, Pillow, addapt", "runtime", "frozen weights"),
    *("images of a batch", "domain and optimiser", "session", "maps", "further steps"),
    *("validation", "copies to be saved"),
)


def read(path: Path) -> dict[str, Any]:
    """Return a result; without rows if it was not made yet."""
    found: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {"rows": []}
    return found


def whole_process_row(result: Row, what: str, backbone: str, batch: int) -> Row | None:
    """Return one row of `whole_process.py`."""
    asked = {"what": what, "backbone": backbone, "batch": batch}
    found = (row for row in result["rows"] if asked.items() <= row.items())
    return next(found, None)


def whole_process_table() -> str:
    """Compare processes that learn."""
    result = read(whole_process.FILE)
    lines = [
        "| learning at 224 px | plain fine-tuning, PyTorch | addapt, PyTorch engine "
        "| addapt | less than fine-tuning |",
        "|---|---:|---:|---:|---:|",
    ]
    kinds = dict.fromkeys((row["backbone"], row["batch"]) for row in result["rows"])
    for backbone, batch in kinds or {(BACKBONE, 8): None}:
        rows = [
            whole_process_row(result, what, backbone, batch) for what in (FINETUNE, TORCH, ONNX)
        ]
        cells = [megabytes(row) for row in rows]
        if backbone == LARGE:
            cells = [cell if row else "–" for cell, row in zip(cells, rows, strict=True)]
        less = rows[2]["ratio"] if rows[2] else None
        cells.append("–" if less is None else f"**{times(less)}**")
        lines.append(f"| {backbone}, batch {batch} | {' | '.join(cells)} |")
    return "\n".join(lines)


def stages_table() -> str:
    """Show what each stage of learning adds on both engines."""
    result = read(where_memory_goes.FILE)
    lines = [
        "| what | adds, MB | held | PyTorch engine: adds, MB | held |",
        "|---|---:|---:|---:|---:|",
    ]
    if "stages" not in result:
        return "\n".join([*lines, f"| {NOT_RUN} | | | | |"])
    for name in STAGES:
        cells = [name]
        for engine in where_memory_goes.ENGINES:
            stages = result["stages"][engine]
            held = [stage["bytes"] for stage in stages]
            places = [k for k, stage in enumerate(stages) if stage["stage"].startswith(name)]
            if not places:
                cells += ["–", "–"]
                continue
            (place,) = places
            said = stages[place]["stage"]
            cells[0] = said if len(said) > len(cells[0]) and engine == ONNX else cells[0]
            before = held[place - 1] if place else 0
            cells += [f"{(held[place] - before) / 1e6:.1f}", f"{held[place] / 1e6:.0f}"]
        if name == "maps":
            cells[0] = "maps of 1 image; PyTorch engine: of the batch of 8"
        lines.append(f"| {' | '.join(cells)} |")
    peaks = [
        f"{max(stage['peak_bytes'] for stage in result['stages'][engine]) / 1e6:.0f}"
        for engine in where_memory_goes.ENGINES
    ]
    lines.append(f"| **at most, in between** | | **{peaks[0]}** | | **{peaks[1]}** |")
    return "\n".join(lines)


def steps_table() -> str:
    """Compare a step of DA3 on both engines with one of fine-tuning."""
    lines = [
        "| backbone, size, batch | fine-tuning: process, time | addapt: process | above the model "
        "| time | PyTorch engine: process | above the model | kept | time |",
        f"|---|{'---:|' * 8}",
    ]
    for result in step_results(ENGINES):
        rival = step_row(result, FINETUNE, DEFAULT)
        assert rival is not None
        cells = [
            f"{result['backbone']}, {result['image_px']} px, {result['batch']}",
            f"{megabytes(rival)}, {rival['step_s']:.2f} s",
        ]
        for setting in (DEVICE, DEFAULT):
            row = step_row(result, "da3", setting)
            if row is None:
                cells += [NOT_RUN, "–", "–"]
                continue
            cells += [compared(rival, row, "process_bytes"), compared(rival, row, "peak_bytes")]
            if setting == DEFAULT:
                cells.append(f"{ratio(rival, row, 'kept_bytes'):.0f}x")
            cells.append(times(ratio(rival, row, "step_s")))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def allocator_table() -> str:
    """Show a step with the system's own allocator."""
    result = read(SYSTEM_ALLOCATOR)
    rival = step_row(result, FINETUNE, DEFAULT)
    assert rival is not None
    lines = [
        "| method, setting | memory above the model | time |",
        "|---|---:|---:|",
        f"| fine-tuning | {megabytes(rival, 'peak_bytes')} | {rival['step_s']:.2f} s |",
    ]
    for setting in ("default", "smallest"):
        row = step_row(result, "da3", setting)
        assert row is not None
        faster = times(ratio(rival, row, "step_s"))
        memory = compared(rival, row, "peak_bytes")
        lines.append(f"| DA³ {setting} | {memory} | {row['step_s']:.2f} s, {faster} |")
    return "\n".join(lines)


def predict_table() -> str:
    """Compare engines that recognise."""
    result = read(PREDICT)
    lines = [
        "| recognising | addapt: process | time | PyTorch engine: process | time | faster |",
        f"|---|{'---:|' * 5}",
    ]
    kinds = dict.fromkeys((row["images"], row["image_px"]) for row in result["rows"])
    for images, px in kinds:
        rows = {
            row["engine"]: row
            for row in result["rows"]
            if (row["images"], row["image_px"]) == (images, px)
        }
        ours, theirs = (rows[engine] for engine in (ONNX, TORCH))
        pair = [f"{megabytes(row)} | {row['ms']:.1f} ms" for row in (ours, theirs)]
        what = f"{images} image{'s' if images > 1 else ''} of {px} px"
        lines.append(f"| {what} | {' | '.join(pair)} | {times(ours['ratio_time'])} |")
    cold = {row["engine"]: row for row in result.get("cold_rows", [])}
    if cold:
        ours, theirs = (cold[engine] for engine in (ONNX, TORCH))
        pair = [f"{megabytes(row)} | {row['wall_s']:.2f} s" for row in (ours, theirs)]
        faster = times(theirs["wall_s"] / ours["wall_s"])
        lines.append(f"| `addapt predict one.jpg`, all of it | {' | '.join(pair)} | {faster} |")
    if not kinds:
        lines.append(f"| {NOT_RUN} | | | | | |")
    return "\n".join(lines)


def megabytes(row: Row | None, name: str = "process_bytes") -> str:
    return NOT_RUN if row is None or row[name] is None else f"{row[name] / 1e6:.0f} MB"


def compared(rival: Row, row: Row, name: str) -> str:
    return f"{megabytes(row, name)}, {times(ratio(rival, row, name))}"


TABLES: dict[str, Callable[[], str]] = {
    "whole process": whole_process_table,
    "stages": stages_table,
    "steps": steps_table,
    "allocator": allocator_table,
    "predict": predict_table,
}


def fill(page: str, tables: Mapping[str, Callable[[], str]] = TABLES) -> str:
    """Return a page with each of its tables as the results have it now."""
    for name, table in tables.items():
        begin, end = f"<!-- {name} -->\n", "<!-- end -->"
        if begin in page:
            before, _, rest = page.partition(begin)
            page = f"{before}{begin}{table()}\n{end}{rest.partition(end)[2]}"
    return page


def main() -> None:
    PAGE.write_text(fill(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
