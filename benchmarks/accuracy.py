"""Accuracy of every method on every domain, parameters trained, bytes stored.

    python benchmarks/accuracy.py run [--method da3] [--domain digits] [--threads 1] [--share 1/2]
    python benchmarks/accuracy.py run --quick       # 2 domains, 4 methods, one seed: 15 minutes
    python benchmarks/accuracy.py table

Every method learns as `addapt learn` does by itself: on the engine that it chooses, with images of
the size that it chooses, and as often as the recipe says. Only the learning rate is the winner of
`tuning.py`, or the recipe's where the method's search is not complete; the row says which. Test
images are looked at once, when a run is over. Runs already in `results/accuracy.jsonl` are not made
again: the next start goes on. `run --method da3 --amount 1000 --threads 2` makes DA3's once more,
as a stand-in for another machine; where there is one, add `--results
benchmarks/results/accuracy_elsewhere.jsonl`.
"""

import argparse
import dataclasses
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import domains
import torch
import tuning
from result_rows import (
    RESULTS,
    ROOT,
    Row,
    add_run_options,
    latest,
    make_rows,
    read_rows,
    same,
    spell_command,
    surroundings,
)
from trial import BACKBONE, Settings, is_of, learn_and_judge, recipe_settings

from addapt.demo.images import SOURCES
from addapt.engines import open_engine
from addapt.engines.base import Engine
from addapt.engines.choosing import choose_engine
from addapt.methods import METHODS

FILE = RESULTS / "accuracy.jsonl"
ELSEWHERE_FILE = RESULTS / "accuracy_elsewhere.jsonl"  # DA3 once more, on other machines
SMALL_FILE = RESULTS / "accuracy_96px.jsonl"  # by the recipe before, all images at 96 px
QUICK_FILE = ROOT / "demo" / "accuracy_quick.jsonl"  # not committed: everyone makes their own
ALL, FEW = "1000", "10 a class"
SEEDS = 3
DEMO_SEEDS = 5  # of the two methods that the demo compares, on its domains
DEMO_METHODS = ("da3", "head")
THREADS = 1  # of the runs that methods are compared by
# These get all seeds, the others the first one: head only, and who came within a point of the best.
SEEDED = (
    *("da3", "head", "lora", "finetune_frozen_bn", "finetune"),
    *("parallel_adapter", "series_adapter"),
)
# What a run that is broken off should have done by then: everything once, then the spread.
ROUNDS = ((0, ALL), (1, ALL), (2, ALL), (0, FEW), (1, FEW), (2, FEW), (3, ALL), (4, ALL))
DEMO_DOMAINS = tuple(source.name for source in SOURCES)
QUICK_DOMAINS = ("digits", "silhouettes")
QUICK_METHODS = ("da3", "head", "finetune", "bias")


@dataclass(frozen=True)
class Run:
    """What one row is about."""

    method: str
    domain: str
    seed: int
    amount: str

    def command(self, device: str) -> str:
        """Say how to make this run, and no other."""
        words = ["--method", self.method, "--domain", self.domain]
        words += ["--seed", str(self.seed), "--amount", self.amount]
        return spell_command("accuracy", "run", *words, device=device)


def ordered_runs(methods: Sequence[str], names: Sequence[str]) -> list[Run]:
    """Return all runs, the most useful first."""
    first = [method for method in SEEDED if method in methods]
    ordered = first + [method for method in methods if method not in first]
    return [
        Run(method, domain, seed, amount)
        for seed, amount in ROUNDS
        for method in ordered
        for domain in names
        if seed < seeds_of(method, domain) and not (amount == FEW and domain == domains.FACES)
    ]


def seeds_of(method: str, domain: str) -> int:
    """Return with how many seeds a method learns a domain."""
    if method in DEMO_METHODS and domain in DEMO_DOMAINS:
        return DEMO_SEEDS
    return SEEDS if method in SEEDED else 1


def settings_of(method: str, tuned: Sequence[Row]) -> tuple[Settings, str]:
    """Return the recipe's settings with the rate that won the search, and where that is from."""
    settings, why = tuning.chosen_settings(tuned, method)
    recipe = recipe_settings(method)
    return dataclasses.replace(settings, epochs=recipe.epochs, min_steps=recipe.min_steps), why


def is_done(run: Run, threads: int, rows: Sequence[Row], tuned: Sequence[Row]) -> bool:
    """Say whether there is a row of this run with the settings and defaults of now."""
    settings, _ = settings_of(run.method, tuned)
    return any(
        (row["method"], row["domain"], row["seed"], row["amount"], row["threads"])
        == (run.method, run.domain, run.seed, run.amount, threads)
        and same(row["settings"], dataclasses.asdict(settings))
        and is_of(row, run.method)
        for row in rows
    )


def make(engine: Engine, run: Run, tuned: Sequence[Row], device: str) -> Row:
    """Learn and judge on the test images."""
    return learned(engine, run, tuned) | surroundings(run.command(device), device, engine.threads)


def learned(engine: Engine, run: Run, tuned: Sequence[Row]) -> Row:
    """Return what a run came to, on either engine."""
    settings, why = settings_of(run.method, tuned)
    folders = domains.domain_folders(run.domain)
    train = folders.few if run.amount == FEW else folders.train
    assert train is not None
    row = learn_and_judge(engine, run.method, settings, train, folders.test, seed=run.seed)
    return {"domain": run.domain, "amount": run.amount, "settings_from": why} | row


def run_all(runs: Sequence[Run], file: Path, threads: int, device: str) -> None:
    """Make the runs that are not in the file yet."""
    engines: dict[str, Engine] = {}

    def engine_for(method: str) -> Engine:
        name = choose_engine(backbone=BACKBONE, method=method, device=device)
        if name not in engines:
            engines[name] = open_engine(BACKBONE, engine=name, device=device)
            if device == "cpu":
                engines[name].threads = threads
        return engines[name]

    tuned, rows = read_rows(tuning.FILE), read_rows(file)
    todo = [
        (
            run.method,
            f"{run.domain:13} {run.method:18} seed {run.seed} {run.amount:10}",
            partial(make, engine_for(run.method), run, tuned, device),
        )
        for run in runs
        if not is_done(run, threads, rows, tuned)
    ]
    make_rows(file, todo, len(runs))


def table(rows: Sequence[Row], amount: str, names: Sequence[str], methods: Sequence[str]) -> str:
    """Render methods x domains as Markdown: mean and spread over seeds; name what is missing."""
    found = [row for row in counted(rows) if row["amount"] == amount and row["method"] in methods]
    common = common_domains(found, names)
    lines = [
        f"| method | {' | '.join(names)} | {mean_of(common, names)} "
        "| seeds | parameters | stored, kB |",
        f"|---|{'---:|' * (len(names) + 4)}",
    ]
    missing = []
    for method in methods:
        own = [row for row in found if row["method"] == method]
        if not own:
            missing.append(method)
            continue
        of = {name: [row for row in own if row["domain"] == name] for name in names}
        mean = mean_accuracy(own, common)
        cells = [cell(of[name]) for name in names]
        cells.append("not run here" if mean is None else f"{100 * mean:.1f}")
        seeds = sorted({len({row["seed"] for row in rows}) for rows in of.values()})
        good = [row for row in own if row["accuracy"] is not None]
        cells += [" to ".join(map(str, sorted({seeds[0], seeds[-1]}))), *sizes(good)]
        untuned = any(row["settings_from"] != "tuned" for row in own)
        lines.append(f"| {method}{' (not tuned)' if untuned else ''} | {' | '.join(cells)} |")
    if missing:
        lines += ["", f"Not run here: {', '.join(missing)}."]
    return "\n".join(lines) + "\n"


def main_rows() -> list[Row]:
    """Return the rows that methods are compared by."""
    return [row for row in read_rows(FILE) if row["threads"] == THREADS]


def of_shared_seeds(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of those seeds that methods are compared with."""
    return [row for row in rows if row["seed"] < SEEDS]


def counted(rows: Sequence[Row]) -> list[Row]:
    """Return the last row of each run; those of other defaults of the method do not count."""
    return [
        row
        for row in latest(rows, "method", "domain", "seed", "amount").values()
        if row["method"] in METHODS and is_of(row, row["method"])
    ]


def common_domains(
    rows: Sequence[Row], names: Sequence[str] = domains.DOMAINS, by: str = "method"
) -> list[str]:
    """Return those of the domains that all methods in the rows have, so that means compare."""
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row[by], set()).add(row["domain"])
    return [name for name in names if found and all(name in own for own in found.values())]


def mean_of(common: Sequence[str], names: Sequence[str]) -> str:
    """Head a column of means over the common ones of these domains."""
    return f"mean of {len(common)}" if 0 < len(common) < len(names) else "mean"


def mean_accuracy(own: Sequence[Row], names: Sequence[str]) -> float | None:
    """Return the mean over domains of the mean over seeds; None if one, or all, are missing."""
    means = []
    for name in names:
        values = [row["accuracy"] or 0.0 for row in own if row["domain"] == name]
        if not values:
            return None
        means.append(statistics.mean(values))
    return statistics.mean(means) if means else None


def cell(rows: Sequence[Row]) -> str:
    """Write percent, with the standard deviation where there are several seeds."""
    if not rows:
        return "not run here"
    if any(row["accuracy"] is None for row in rows):
        return "diverged"
    values = [100 * row["accuracy"] for row in rows]
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


def machines_table(rows: Sequence[Row], names: Sequence[str]) -> str:
    """Compare DA3 by machine and threads, whose sums differ in their last bits."""
    lines = [
        f"| processor, threads | {' | '.join(names)} | seeds |",
        f"|---|{'---:|' * (len(names) + 1)}",
    ]
    rows = [row for row in rows if row["method"] == "da3" and row["amount"] == ALL]
    for cpu, threads in sorted({_machine(row) for row in rows}):
        own = [row for row in rows if _machine(row) == (cpu, threads)]
        own = of_shared_seeds(counted(own))
        of = [[row for row in own if row["domain"] == name] for name in names]
        seeds = sorted({min(map(len, of)), max(map(len, of))})
        cells = [*map(cell, of), " to ".join(map(str, seeds))]
        lines.append(f"| {cpu}, {threads} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _machine(row: Row) -> tuple[str, int]:
    return row["machine"]["cpu"], row["threads"]


def sizes(rows: Sequence[Row]) -> list[str]:
    """Write parameters and kB, from the fewest to the most classes."""
    words = []
    for name, unit in (("parameters", 1), ("file_bytes", 1000)):
        values = sorted({round(row[name] / unit) for row in rows})
        words.append(
            " to ".join(f"{value:,}" for value in sorted({values[0], values[-1]}))
            if values
            else "–"
        )
    return words


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("--quick", action="store_true", help=f"into {QUICK_FILE.relative_to(ROOT)}")
    parser.add_argument("--method", choices=METHODS, action="append")
    parser.add_argument("--domain", choices=domains.DOMAINS, action="append")
    parser.add_argument("--seed", type=int, choices=range(DEMO_SEEDS))
    parser.add_argument("--amount", choices=(ALL, FEW))
    add_run_options(parser, threads=THREADS)
    parser.add_argument("--results", type=Path, help=f"instead of {FILE.relative_to(ROOT)}")
    parser.add_argument("--restart", action="store_true", help="forget what --quick did before")
    options = parser.parse_args()
    if options.restart and not options.quick:
        parser.error("--restart is for --quick: rows of the full benchmark are removed by hand")
    names = options.domain or list(QUICK_DOMAINS if options.quick else domains.DOMAINS)
    methods = options.method or list(QUICK_METHODS if options.quick else METHODS)
    file = options.results or (QUICK_FILE if options.quick else FILE)
    if options.what == "run":
        torch.set_num_threads(options.threads)
        if options.restart:
            file.unlink(missing_ok=True)
        seed, amount = (0, ALL) if options.quick else (options.seed, options.amount)
        runs = [
            run
            for run in ordered_runs(methods, domains.available_domains(names))
            if seed in (None, run.seed) and amount in (None, run.amount)
        ]
        place, shares = options.share
        run_all(runs[place::shares], file, options.threads, options.device)
    if options.what == "table" or options.quick:
        for amount in (ALL,) if options.quick else (ALL, FEW):
            few = amount == FEW
            shown = [name for name in names if not (few and name == domains.FACES)]
            print(f"\nTest accuracy in %, {amount} training images\n")
            print(table(read_rows(file), amount, shown, methods))


if __name__ == "__main__":
    main()
