"""The paper's claims and our goals beside what was measured here; Markdown."""

from collections.abc import Sequence
from typing import Any

import accuracy
import domains
import imagenet_to_sketch
from result_rows import Row, latest
from step_results import amount
from step_rows import DEFAULT, SMALLEST, ratio, spread, step_row, times, title

from addapt.engines.torch.methods import METHODS

NOT_RUN = "not run here"
DA3, HEAD, FINETUNE = "da3", "head", "finetune"
RIVALS = (FINETUNE, "series_adapter", "parallel_adapter", "piggyback")
PAPER_MEMORY, PAPER_TIME = "19x to 37x", "2x"
MEMORY_GOAL = 20.0
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


def goals(rows: Sequence[Row], steps: Results) -> str:
    """Say of each goal whether it is met, with the numbers."""
    full = _with_all_images(rows)
    lines = ["| goal | result |", "|---|---|"]
    lines.append(
        f"| Every method on every domain: at least head only minus 1 point | {_learning(full)} |"
    )
    lines.append(
        "| DA³'s mean accuracy: at least that of each other method minus .5 point | "
        f"{_best(full)} |"
    )
    for result in steps:
        settings = (DEFAULT, SMALLEST)
        values = [ratio_of(result, FINETUNE, setting, "peak_bytes") for setting in settings]
        words = [
            f"{setting} {times(value)}" for setting, value in zip(settings, values, strict=True)
        ]
        met = [value is not None and value >= MEMORY_GOAL for value in values]
        verdict = "met" if all(met) else "met by the smallest setting" if met[1] else "**missed**"
        lines.append(
            f"| DA³ needs at most 1/20 of fine-tuning's memory, {title(result)} | "
            f"{', '.join(words)}: {verdict} |"
        )
    return "\n".join(lines) + "\n"


def _with_all_images(rows: Sequence[Row]) -> list[Row]:
    return [row for row in accuracy.counted(rows) if row["amount"] == accuracy.ALL]


def _learning(rows: Sequence[Row]) -> str:
    of = {(m, d): _mean(rows, m, [d]) for m in METHODS for d in domains.DOMAINS}
    below, missing = [], 0
    for (method, domain), value in of.items():
        head = of[HEAD, domain]
        if value is None or head is None:
            missing += 1
        elif round(value - head, 4) < -0.01:
            below.append(f"{method} on {domain} {100 * (value - head):+.1f}")
    if missing == len(of):
        return NOT_RUN
    met = "met by those that were run" if missing else "met"
    words = f"**missed** by {', '.join(below)}" if below else met
    return words + (f" ({missing} of {len(of)} pairs {NOT_RUN})" if missing else "")


def _best(rows: Sequence[Row]) -> str:
    means = {method: _mean(rows, method, domains.DOMAINS) for method in METHODS}
    known = {method: 100 * mean for method, mean in means.items() if mean is not None}
    others = {method: mean for method, mean in known.items() if method != DA3}
    if DA3 not in known or not others:
        return NOT_RUN
    ahead = [f"{method} {mean:.1f}" for method, mean in others.items() if known[DA3] < mean - 0.5]
    best = max(others, key=others.__getitem__)
    verdict = f"**missed** by {', '.join(ahead)}" if ahead else "met"
    missing = len(METHODS) - len(known)
    return f"DA³ {known[DA3]:.1f}, best other {best} {others[best]:.1f}: {verdict}" + (
        f" ({missing} methods {NOT_RUN})" if missing else ""
    )


def _mean(rows: Sequence[Row], method: str, names: Sequence[str]) -> float | None:
    return accuracy.mean_accuracy([row for row in rows if row["method"] == method], names)


def _beside_the_four(rows: Sequence[Row]) -> str:
    """Say DA3's mean accuracy and those of the systems that the paper compares it with."""
    said = []
    for name, method in (("DA³", DA3), *((rival, rival) for rival in RIVALS)):
        mean = _mean(rows, method, list(domains.DOMAINS))
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
    sequence: dict[str, Any],
    sketch: Sequence[Row],
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
        ("the same, published version", "5x to 37x", less("peak_bytes", FINETUNE)),
        (
            "DA³: training memory against series and parallel adapters, Piggyback",
            PAPER_MEMORY,
            less("peak_bytes", *RIVALS[1:]),
        ),
        ("DA³: training time against the four", PAPER_TIME, less("step_s", *RIVALS)),
        ("DA³: earlier domains keep working", "stated", logits),
        (
            "DA³: accuracy not below the four's",
            "stated; figures not to be had",
            _beside_the_four(_with_all_images(rows)),
        ),
        ("DA³: dynamic gates save computation", "stated", _dynamic(gated)),
        ("all of it on a Jetson Nano", "measured", NOT_RUN),
        (
            "TinyTL: memory against fine-tuning",
            "up to 6.5x, counted",
            less("peak_bytes", FINETUNE, method="tinytl"),
        ),
        ("Residual adapters, CIFAR-100, ResNet-26: parallel", "80.61 %", NOT_RUN),
        ("the same: series", "80.17 %", NOT_RUN),
        ("the same: fine-tuning", "78.40 %", NOT_RUN),
    ]
    ours = latest([row for row in sketch if row["comparable"]], "method", "domain")
    for name, published in imagenet_to_sketch.PUBLISHED.items():
        share = ours.get(("piggyback", name), {}).get("accuracy")
        found = NOT_RUN if share is None else f"{100 * share:.2f} %"
        table.append((f"Piggyback, ResNet-50: {name}", f"{published.piggyback:.2f} %", found))
    lines = ["| statement | published | ours |", "|---|---|---|"]
    lines += [f"| {' | '.join(cells)} |" for cells in table]
    return "\n".join(lines) + "\n"
