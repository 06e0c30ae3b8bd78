"""The tables of README.md, from the committed results.

    python benchmarks/readme_tables.py

Writes each between its marks, such as `<!-- accuracy -->` and `<!-- end -->`.
"""

from collections.abc import Callable

import accuracy
import memory_tables
from domains import DOMAINS
from result_rows import ROOT, Row
from step_rows import DEFAULT, ENGINES, step_results, step_row
from trial import BACKBONE

from addapt.bench.contender import DEVICE

PAGE = ROOT / "README.md"
DA3 = "da3"
METHODS = {
    DA3: "**DA³**",
    "lora": "LoRA",
    "parallel_adapter": "parallel adapters",
    "series_adapter": "series adapters",
    "finetune": "fine-tuning",
    "finetune_frozen_bn": "fine-tuning, batch norms frozen",
    "piggyback": "Piggyback",
    "repnet": "Rep-Net",
    "tinytl": "TinyTL",
    "bias": "biases only",
    "norm": "batch norms only",
    "head": "head only",
}
IMAGES = {
    "digits": "digits",
    "silhouettes": "silhouettes",
    "faces": "faces",
    "solar-cells": "solar cells",
    "fashion-mnist": "clothes",
    "cifar-10": "photographs",
}


def accuracy_rows() -> list[Row]:
    """Return the rows that the README tells of: 1,000 images, the seeds that methods share."""
    rows = accuracy.of_shared_seeds(accuracy.counted(accuracy.main_rows()))
    return [row for row in rows if row["amount"] == accuracy.ALL]


def accuracy_table() -> str:
    """Compare methods that learned all domains, the best first."""
    assert tuple(IMAGES) == DOMAINS
    found = accuracy_rows()
    means = {}
    for method in METHODS:
        mean = accuracy.mean_accuracy([row for row in found if row["method"] == method], DOMAINS)
        if mean is not None:
            means[method] = mean
    lines = [
        f"| accuracy, % | {' | '.join(IMAGES.values())} | mean | seeds | a step, whole process |",
        f"|---|{'---:|' * (len(IMAGES) + 3)}",
    ]
    for method in sorted(means, key=lambda name: -means[name]):
        own = [row for row in found if row["method"] == method]
        of = [[row for row in own if row["domain"] == name] for name in DOMAINS]
        seeds = sorted({min(map(len, of)), max(map(len, of))})
        cells = [*map(accuracy.cell, of), f"{100 * means[method]:.1f}"]
        cells += [" to ".join(map(str, seeds)), memory_tables.megabytes(_step(method))]
        lines.append(f"| {METHODS[method]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _step(method: str) -> Row | None:
    """Return a step of a method as it runs by default: DA3 without PyTorch, the others on it."""
    ours = method == DA3
    for result in step_results(ENGINES) if ours else step_results():
        if (result["backbone"], result["batch"], result["image_px"]) == (BACKBONE, 8, 224):
            return step_row(result, method, DEVICE if ours else DEFAULT)
    return None


TABLES: dict[str, Callable[[], str]] = {
    "whole process": memory_tables.whole_process_table,
    "accuracy": accuracy_table,
}


def main() -> None:
    PAGE.write_text(memory_tables.fill(PAGE.read_text("utf-8"), TABLES), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
