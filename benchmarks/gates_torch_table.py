"""What the runs of `gates_torch.py` say: a table and a plot, means over domains."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from result_rows import Row, read_rows
from trial import is_of

from addapt.gates import BLOCKS, RESOLUTION

UNGATED = "none"
STATIC, DYNAMIC = "static", "dynamic"
GATES = ((RESOLUTION, STATIC), (BLOCKS, STATIC), (BLOCKS, DYNAMIC))  # units and kinds
METHOD = "da3"  # the only one with gates
IDENTITY = ("backbone", "domain", "unit", "kind", "compute_target")
# Of one run; made anew it has other seconds, and times of the former one are not its own.
RUN = (*IDENTITY, "train_s")
COLORS = {"resolution": "tab:green", "blocks": "tab:red"}


def read_runs(path: Path) -> list[Row]:
    """Return the runs that can be made again: with the method's defaults and of these gates.

    The files also keep those of channels, and of two looks that shared one adaptor, see LOG.md.
    """
    kinds = ((UNGATED, STATIC), *GATES)
    return [
        row for row in read_rows(path) if (row["unit"], row["kind"]) in kinds and is_of(row, METHOD)
    ]


def joined(runs: Path, times: Path) -> list[Row]:
    """Return the gated runs, each with its domain's ungated accuracy and, if known, its times."""
    rows = read_runs(runs)
    ungated = {(r["backbone"], r["domain"]): r["accuracy"] for r in rows if r["unit"] == UNGATED}
    timed: dict[tuple[Any, ...], Row] = {}
    if times.exists():
        for row in json.loads(times.read_text(encoding="utf-8"))["rows"]:
            timed[tuple(row[name] for name in RUN)] = row
    last = {tuple(row[name] for name in IDENTITY): row for row in rows if row["unit"] != UNGATED}
    return [
        row
        | {"ungated_accuracy": ungated[row["backbone"], row["domain"]]}
        | {
            name: ms
            for name, ms in timed.get(tuple(row[name] for name in RUN), {}).items()
            if "ms_batch" in name
        }
        for row in last.values()
        if (row["backbone"], row["domain"]) in ungated
    ]


def summary(rows: Sequence[Row], backbone: str) -> list[dict[str, Any]]:
    """Return a row for each unit, kind and share that all domains of the backbone have."""
    own = [row for row in rows if row["backbone"] == backbone]
    names = {row["domain"] for row in own}
    found = []
    for share, unit, kind in sorted({kind_of(row) for row in own}):
        some = [row for row in own if kind_of(row) == (share, unit, kind)]
        if {row["domain"] for row in some} != names:
            continue
        means = {
            name: statistics.mean(row[name] for row in some)
            for name in ("accuracy", "ungated_accuracy")
        }
        means["compute"] = statistics.mean(
            row["multiply_adds"] / row["ungated_multiply_adds"] for row in some
        )
        for batch in ("batch1", "batch16"):
            if all(f"ms_{batch}" in row for row in some):
                ratios = [row[f"ungated_ms_{batch}"] / row[f"ms_{batch}"] for row in some]
                means[f"times_{batch}"] = statistics.mean(ratios)
                means[f"ms_{batch}"] = statistics.mean(row[f"ms_{batch}"] for row in some)
                of_ungated = [row[f"ungated_ms_{batch}"] for row in some]
                means[f"ungated_ms_{batch}"] = statistics.mean(of_ungated)
        found.append({"compute_target": -share, "unit": unit, "kind": kind} | means)
    return found


def kind_of(row: Row) -> tuple[float, str, str]:
    """Return what kinds are sorted by, those of the most compute first."""
    return -row["compute_target"], row["unit"], row["kind"]


def table(rows: Sequence[Row], backbone: str) -> str:
    """Render the means over domains as Markdown."""
    found = summary(rows, backbone)
    if not found:
        return "Not run here.\n"
    lines = [
        "| share asked | gates | compute | accuracy | points lost | faster, batch 1 | batch 16 |",
        "|---:|---|---:|---:|---:|---:|---:|",
    ]
    for row in found:
        lost = 100 * (row["ungated_accuracy"] - row["accuracy"])
        times = [
            f"{row[f'times_{batch}']:.2f}x" if f"times_{batch}" in row else "not run here"
            for batch in ("batch1", "batch16")
        ]
        lines.append(
            f"| {row['compute_target']:.0%} | {row['unit']}, {row['kind']} | {row['compute']:.0%} "
            f"| {100 * row['accuracy']:.1f} | {lost:.1f} | {times[0]} | {times[1]} |"
        )
    return "\n".join(lines) + "\n"


def steps_table(path: Path) -> str:
    """Render training steps with gates beside steps without as Markdown.

    The file also has those of two looks that shared one adaptor, see LOG.md.
    """
    if not path.exists():
        return "Not run here.\n"
    lines = [
        "| backbone | gates | faster than ungated | kept for backward |",
        "|---|---|---:|---:|",
    ]
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    for row in (row for row in rows if row["unit"] == BLOCKS):
        kept = row["kept_bytes"] / row["ungated_kept_bytes"]
        lines.append(
            f"| {row['backbone']} | {row['unit']}, {row['kind']} | {row['ratio_time']:.2f}x "
            f"| {kept:.0%} |"
        )
    return "\n".join(lines) + "\n"


def draw(rows: Sequence[Row], backbone: str, axes: Any) -> None:
    """Draw accuracy against milliseconds, a line for each unit and kind.

    A machine's speed changes within an hour, so milliseconds are the ungated model's, of which
    there is one, divided by how many times faster the gated one was in turns with it.
    """
    found = [row for row in summary(rows, backbone) if "ms_batch1" in row]
    ungated_ms = statistics.median(row["ungated_ms_batch1"] for row in found)
    for row in found:
        row["ms"] = ungated_ms / row["times_batch1"]
    ungated = 100 * found[0]["ungated_accuracy"]
    for unit, kind in dict.fromkeys((row["unit"], row["kind"]) for row in found):
        some = [row for row in found if (row["unit"], row["kind"]) == (unit, kind)]
        axes.plot(
            [row["ms"] for row in some],
            [100 * row["accuracy"] for row in some],
            "-o" if kind == STATIC else "--s",
            color=COLORS[unit],
            label=f"{unit}, {kind}",
        )
    axes.plot(ungated_ms, ungated, "k*", markersize=14, label="ungated")
