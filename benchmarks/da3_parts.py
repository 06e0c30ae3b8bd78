"""What each part of DA3 gives: the defaults, and one thing changed at a time.

    python benchmarks/da3_parts.py run [--variant "no biases"] [--domain digits] [--share 1/2]
    python benchmarks/da3_parts.py table

Learned without PyTorch by the method's recipe, in the size of images that `addapt learn` chooses.
Judged on the 1,000 spare images, as choices are made with the result: test images stay unseen.
Runs already in `results/da3_parts.jsonl` are not made again: the next start goes on.
"""

import argparse
import dataclasses
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import domains
import torch
from accuracy import cell, mean_accuracy, sizes
from result_rows import (
    RESULTS,
    Row,
    add_run_options,
    latest,
    make_rows,
    read_rows,
    same,
    spell_command,
    surroundings,
)
from trial import BACKBONE, is_of, learn_and_judge, recipe_settings

from addapt.engines import open_engine
from addapt.engines.base import Engine

FILE = RESULTS / "da3_parts.jsonl"
METHOD = "da3"
DOMAINS = ("silhouettes", "solar-cells", "cifar-10")  # drawn, technical and natural
SEEDS = 2
BASE = "base"
VARIANTS: dict[str, dict[str, Any]] = {
    BASE: {},
    "no spatial attention": {"spatial": False},
    "no channel attention": {"channel": False},
    "no attention": {"spatial": False, "channel": False},  # the shortcut alone
    "no shortcut": {"shortcut": False},
    "no inner shifts": {"inner": False},
    "no biases": {"biases": False},
    "width 12": {"width": 12},
    "width 48": {"width": 48},
    "grid 4": {"grid": 4},
    "first block 0": {"first_block": 0},
}


@dataclass(frozen=True)
class Run:
    """What one row is about."""

    variant: str
    domain: str
    seed: int


def ordered_runs(variants: Sequence[str], names: Sequence[str]) -> list[Run]:
    """Return all runs, the most useful first: each variant once, then the spread."""
    return [
        Run(variant, domain, seed)
        for seed in range(SEEDS)
        for variant in variants
        for domain in names
    ]


def is_now(row: Row) -> bool:
    """Say whether a row would be made so today: a variant's defaults or the recipe may change."""
    changes = VARIANTS.get(row["variant"])
    settings = dataclasses.asdict(recipe_settings(METHOD))
    return changes is not None and is_of(row, METHOD, changes) and same(row["settings"], settings)


def is_done(run: Run, rows: Sequence[Row]) -> bool:
    return any(dataclasses.asdict(run).items() <= row.items() and is_now(row) for row in rows)


def make(engine: Engine, run: Run) -> Row:
    """Learn and judge on the spare images."""
    folders = domains.domain_folders(run.domain)
    assert folders.spare is not None
    row = learn_and_judge(
        engine,
        METHOD,
        recipe_settings(METHOD),
        folders.train,
        folders.spare,
        seed=run.seed,
        changes=VARIANTS[run.variant],
    )
    words = ("--variant", run.variant, "--domain", run.domain, "--seed", str(run.seed))
    command = spell_command("da3_parts", "run", *words, device="cpu")
    return dataclasses.asdict(run) | row | surroundings(command, threads=engine.threads)


def table(rows: Sequence[Row]) -> str:
    """Render variants x domains as Markdown: accuracy in %, what it is to the base, and costs."""
    found = [row for row in latest(rows, "variant", "domain", "seed").values() if is_now(row)]
    own = {variant: [row for row in found if row["variant"] == variant] for variant in VARIANTS}
    lines = [
        f"| variant | {' | '.join(DOMAINS)} | mean | to the base | parameters | stored, kB |",
        f"|---|{'---:|' * (len(DOMAINS) + 4)}",
    ]
    for variant, rows_of in own.items():
        mean = mean_accuracy(rows_of, DOMAINS)
        cells = [cell([row for row in rows_of if row["domain"] == name]) for name in DOMAINS]
        cells.append("not run here" if mean is None else f"{100 * mean:.1f}")
        cells.append("–" if variant == BASE else difference(rows_of, own[BASE]))
        good = [row for row in rows_of if row["accuracy"] is not None]
        cells += sizes(good)
        lines.append(f"| {variant} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def difference(rows: Sequence[Row], base: Sequence[Row]) -> str:
    """Write points of mean accuracy above the base, with the standard error over all pairs.

    A pair has one domain and one seed; the dash is there until all are.
    """
    by_run = {(row["domain"], row["seed"]): row["accuracy"] or 0.0 for row in base}
    pairs = [
        100 * ((row["accuracy"] or 0.0) - by_run[row["domain"], row["seed"]])
        for row in rows
        if (row["domain"], row["seed"]) in by_run
    ]
    if len(pairs) < SEEDS * len(DOMAINS):
        return "–"
    error = statistics.stdev(pairs) / math.sqrt(len(pairs))
    return f"{statistics.mean(pairs):+.1f} ± {error:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("--variant", choices=VARIANTS, action="append")
    parser.add_argument("--domain", choices=DOMAINS, action="append")
    parser.add_argument("--seed", type=int, choices=range(SEEDS))
    add_run_options(parser)
    options = parser.parse_args()
    if options.what == "run":
        torch.set_num_threads(options.threads)
        engine = open_engine(BACKBONE, engine="onnx")
        engine.threads = options.threads
        names = domains.available_domains(options.domain or list(DOMAINS))
        runs = [
            run
            for run in ordered_runs(options.variant or list(VARIANTS), names)
            if options.seed in (None, run.seed)
        ]
        place, shares = options.share
        rows = read_rows(FILE)
        todo = [
            (METHOD, f"{run.variant:20} {run.domain:12} {run.seed}", partial(make, engine, run))
            for run in runs[place::shares]
            if not is_done(run, rows)
        ]
        make_rows(FILE, todo, len(runs[place::shares]))
    print(table(read_rows(FILE)))


if __name__ == "__main__":
    main()
