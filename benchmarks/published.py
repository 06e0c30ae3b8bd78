"""The paper's rivals as their authors run them, beside DA3 on the default engine.

    python benchmarks/published.py run [--rounds 5] [--backbone NAME] [--batch N]
    python benchmarks/published.py table

Runs `addapt bench step` for two backbones and three batches, a file of `results/published` each;
those that are there are not measured again. ResNet-50 with 32 images takes several GB of memory.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from result_rows import RESULTS, Row
from step_rows import amount, ratio, spread, step_results, times, title

from addapt.bench.contender import AS_PUBLISHED, DEVICE, PUBLISHED

FOLDER = RESULTS / "published"
BACKBONES, BATCHES = ("efficientnet_lite0", "resnet50"), (4, 8, 32)
DA3 = "da3"
METHODS = (*(f"eager:{rival}" for rival in PUBLISHED), f"{DA3}:{DEVICE}")
IMAGE_PX, THREADS = 224, 2
NOT_RUN = "not run here"
PAPER_MEMORY, WORKSHOP_MEMORY, PAPER_TIME = "19x to 37x", "5x to 37x", "2x"
RUN = "from addapt.cli.main import main; main()"
MEASURES = (("peak_bytes", 1e6), ("process_bytes", 1e6), ("step_s", 1.0))
Results = Sequence[dict[str, Any]]


def less(results: Results, name: str, batch: int) -> str:
    """Return how many times less DA3 takes than the four at a batch: "19.0x to 37.0x"."""
    values = []
    for result in results:
        if result["batch"] == batch:
            rows = _rows(result)
            values += [ratio(rows.get(rival), rows.get(DA3), name) for rival in PUBLISHED]
    return spread(values)


def left_out(results: Results, batch: int) -> str:
    """Say which rivals were not measured at a batch: " (not on resnet50: piggyback)"."""
    said = []
    for result in results:
        if result["batch"] == batch:
            missing = [rival for rival in PUBLISHED if rival not in _rows(result)]
            if missing:
                said.append(f"not on {result['backbone']}: {', '.join(missing)}")
    return f" ({'; '.join(said)})" if said else ""


def table(results: Results) -> str:
    """Compare each rival with DA3 in memory above the model, whole process and time."""
    heading = ("memory, MB", "DA³", "less", "process, MB", "DA³", "less", "s a step", "DA³", "less")
    paper = ("–", "–", PAPER_MEMORY, *("–",) * 5, PAPER_TIME)
    lines = [
        f"| step | rival | {' | '.join(heading)} |",
        f"|---|---|{'---:|' * len(heading)}",
        f"| Jetson Nano, the paper's figures | all four | {' | '.join(paper)} |",
    ]
    for result in results:
        rows = _rows(result)
        ours = rows.get(DA3)
        for rival in PUBLISHED:
            theirs = rows.get(rival)
            cells = []
            for name, unit in MEASURES:
                cells += [amount_of(row, name, unit) for row in (theirs, ours)]
                cells.append(times(ratio(theirs, ours, name)))
            lines.append(f"| {title(result)} | {rival} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def words(results: Results) -> str:
    """Say in sentences what the table shows."""
    if not results:
        return "Not run here yet: `python benchmarks/published.py run`."
    batches = sorted({result["batch"] for result in results})
    said = [
        f"batch {batch}{left_out(results, batch)}: "
        f"{less(results, 'peak_bytes', batch)} less memory above the model, "
        f"{less(results, 'process_bytes', batch)} less in the whole process, "
        f"{less(results, 'step_s', batch)} less time"
        for batch in batches
    ]
    machine = results[0]["machine"]
    return (
        f"Against the four, {'; '.join(said)}. The paper: {PAPER_MEMORY} (its workshop version "
        f"{WORKSHOP_MEMORY}) and {PAPER_TIME}. {results[0]['threads']} threads of "
        f"{machine['cpu']}."
    )


def _rows(result: dict[str, Any]) -> dict[str, Row]:
    """Return the rows that were measured, by method."""
    return {
        row["method"]: row
        for row in result["rows"]
        if row["setting"] in (AS_PUBLISHED, DEVICE) and row["peak_bytes"] is not None
    }


def amount_of(row: Row | None, name: str, unit: float) -> str:
    return NOT_RUN if row is None else amount(row[name], unit, None)


def run(
    backbones: Sequence[str],
    batches: Sequence[int],
    rounds: int,
    folder: Path,
    methods: Sequence[str] = METHODS,
) -> None:
    """Measure what is not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for backbone in backbones:
        for batch in batches:
            file = folder / f"{backbone.replace(':', '_')}_batch_{batch}.json"
            if file.exists():
                print(f"{file.name} is there", flush=True)
                continue
            options = {
                "methods": ",".join(methods),
                "backbone": backbone,
                "batch": batch,
                "image-px": IMAGE_PX,
                "threads": THREADS,
                "rounds": rounds,
                "save": file,
            }
            given = [f"--{name}={value}" for name, value in options.items()]
            subprocess.run([sys.executable, "-c", RUN, "bench", "step", *given], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("--backbone", choices=BACKBONES, action="append")
    parser.add_argument("--batch", type=int, choices=BATCHES, action="append")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if options.what == "run":
        run(options.backbone or BACKBONES, options.batch or BATCHES, options.rounds, FOLDER)
    print(table(step_results(FOLDER)))
    print(words(step_results(FOLDER)))


if __name__ == "__main__":
    main()
