"""The paper's claims beside what was measured here; Markdown."""

from collections.abc import Sequence
from typing import Any

import accuracy
import published
from published import DA3, NOT_RUN, PAPER_MEMORY, PAPER_TIME, WORKSHOP_MEMORY
from result_rows import Row
from step_rows import DEFAULT, SMALLEST, amount, ratio, spread, step_row, times, title

from addapt.bench.contender import PUBLISHED

FINETUNE = "finetune"
RIVALS = PUBLISHED
GATED_SHARE = 0.6  # of the compute, which every unit was asked for
Results = Sequence[dict[str, Any]]


def claims(steps: Results) -> str:
    """Compare DA3 with the systems that the paper compares it with."""
    lines = [
        "| step | rival | its memory, MB | DA³ less memory, default | smallest | DA³ less time |",
        "|---|---|---:|---:|---:|---:|",
        f"| Jetson Nano, as published | all four | – | {PAPER_MEMORY} | – | {PAPER_TIME} |",
    ]
    for result in steps:
        for rival in RIVALS:
            theirs = step_row(result, rival, DEFAULT)
            megabytes = NOT_RUN if theirs is None else amount(theirs["peak_bytes"], 1e6, None)
            cells = [times(ratio_of(result, rival, DEFAULT, "peak_bytes"))]
            cells.append(times(ratio_of(result, rival, SMALLEST, "peak_bytes")))
            cells.append(times(ratio_of(result, rival, DEFAULT, "step_s")))
            lines.append(f"| {title(result)} | {rival} | {megabytes} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def ratio_of(result: dict[str, Any], rival: str, setting: str, name: str) -> float | None:
    """Return how many times less DA3 takes, both in the same setting where the rival has it."""
    return ratio(step_row(result, rival, setting), step_row(result, DA3, setting), name)


def _with_all_images(rows: Sequence[Row]) -> list[Row]:
    return [row for row in accuracy.counted(rows) if row["amount"] == accuracy.ALL]


def _beside_the_four(rows: Sequence[Row]) -> str:
    """Say DA3's mean accuracy and those of the systems that the paper compares it with."""
    said, common = [], accuracy.common_domains(rows)
    for name, method in (("DA³", DA3), *((rival, rival) for rival in RIVALS)):
        mean = accuracy.mean_accuracy([row for row in rows if row["method"] == method], common)
        said.append(f"{name} {NOT_RUN if mean is None else f'{100 * mean:.1f}'}")
    return ", ".join(said)


def _dynamic(gated: Sequence[Row]) -> str:
    """Say what dynamic gates save at one share, and what the static ones of the same unit do."""
    said = []
    for row in gated:
        asked = row["kind"], row["compute_target"]
        if asked == ("dynamic", GATED_SHARE) and "times_batch1" in row:
            fixed = [
                f"; static {other['times_batch1']:.2f}x"
                for other in gated
                if (other["unit"], other["compute_target"]) == (row["unit"], row["compute_target"])
                and other["kind"] == "static"
                and "times_batch1" in other
            ]
            said.append(
                f"{row['unit']}: {row['compute']:.0%} of the multiply-adds, "
                f"{row['times_batch1']:.2f}x faster at batch 1{''.join(fixed)}"
            )
    return ". ".join(said) or NOT_RUN


def reproducibility(
    rows: Sequence[Row],
    steps: Results,
    as_published: Results,
    sequence: dict[str, Any],
    gated: Sequence[Row],
) -> str:
    """List what was published, and what of it was measured here; `gated` are of one backbone."""
    resnets = [result for result in steps if result["backbone"] == "resnet50"]

    def less(name: str, *rivals: str, method: str = DA3) -> str:
        values = [
            ratio(step_row(result, rival, DEFAULT), step_row(result, method, DEFAULT), name)
            for result in resnets
            for rival in rivals
        ]
        return spread(values)

    changed = sequence.get(DA3, {}).get("changed_logits", [])
    logits = f"{sum(map(sum, changed))} logits changed" if changed else NOT_RUN
    table = [
        ("DA³: training memory against fine-tuning", PAPER_MEMORY, less("peak_bytes", FINETUNE)),
        ("the same, workshop version", WORKSHOP_MEMORY, less("peak_bytes", FINETUNE)),
        (
            "DA³: training memory against series and parallel adapters, Piggyback",
            PAPER_MEMORY,
            less("peak_bytes", *RIVALS[1:]),
        ),
        (
            "the same, the four as their authors run them, batch 32, both backbones",
            PAPER_MEMORY,
            published.less(as_published, "peak_bytes", 32) + published.left_out(as_published, 32),
        ),
        ("DA³: training time against the four", PAPER_TIME, less("step_s", *RIVALS)),
        ("DA³: earlier domains keep working", "stated", logits),
        (
            "DA³: accuracy not below the four's",
            "stated; figures not to be had",
            _beside_the_four(_with_all_images(rows)),
        ),
        ("DA³: dynamic gates save computation", "stated", _dynamic(gated)),
        (
            "TinyTL: memory against fine-tuning",
            "up to 6.5x, counted",
            less("peak_bytes", FINETUNE, method="tinytl"),
        ),
    ]
    lines = ["| statement | published | ours |", "|---|---|---|"]
    lines += [f"| {' | '.join(cells)} |" for cells in table]
    return "\n".join(lines) + "\n"
