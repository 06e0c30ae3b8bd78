"""Accuracy of DA3 on every domain, learned by both engines with the same settings.

    python benchmarks/engines_accuracy.py run [--domain digits] [--seed 0] [--share 1/2]
    python benchmarks/engines_accuracy.py table

Domains, settings and the judging are those of `accuracy.py`. Runs already in
`results/engines_accuracy.jsonl` are not made again: the next start goes on.
"""

import argparse
import statistics
from collections.abc import Sequence
from functools import partial

import accuracy
import domains
import torch
import tuning
from accuracy import ALL, SEEDS, Run, common_domains, mean_accuracy, mean_of
from result_rows import (
    RESULTS,
    Row,
    add_run_options,
    latest,
    make_rows,
    read_rows,
    spell_command,
    surroundings,
)
from trial import BACKBONE, is_of

from addapt.engines import open_engine
from addapt.engines.base import Engine

FILE = RESULTS / "engines_accuracy.jsonl"
METHOD = "da3"
ENGINES = ("onnx", "torch")


def ordered_runs(names: Sequence[str]) -> list[tuple[str, Run]]:
    """Return all runs, each with its engine: both of a domain and a seed, then the next ones."""
    return [
        (engine, Run(METHOD, domain, seed, ALL))
        for seed in range(SEEDS)
        for domain in names
        for engine in ENGINES
    ]


def is_done(engine: str, run: Run, threads: int, rows: Sequence[Row], tuned: Sequence[Row]) -> bool:
    """Say whether there is a row of this run by this engine, as it would be made now."""
    own = [row for row in rows if row["engine"] == engine]
    return accuracy.is_done(run, threads, own, tuned)


def make(opened: Engine, run: Run, tuned: Sequence[Row]) -> Row:
    """Learn on an engine and judge on the test images."""
    row = accuracy.learned(opened, run, tuned)
    words = ("--engine", opened.name, "--domain", run.domain, "--seed", str(run.seed))
    command = spell_command("engines_accuracy", "run", *words, device="cpu")
    return row | surroundings(command, threads=opened.threads)


def counted(rows: Sequence[Row]) -> list[Row]:
    """Return the last row of each run, of the method as it is now."""
    return [row for row in latest(rows, "engine", "domain", "seed").values() if is_of(row, METHOD)]


def engine_means(rows: Sequence[Row]) -> dict[str, float | None]:
    """Return each engine's mean, over the domains of both, of the means over seeds."""
    found = counted(rows)
    common = common_domains(found, by="engine")
    return {
        engine: mean_accuracy([row for row in found if row["engine"] == engine], common)
        for engine in ENGINES
    }


def table(rows: Sequence[Row]) -> str:
    """Render engines x domains as Markdown: mean and spread over seeds, seconds of a run."""
    names = list(domains.DOMAINS)
    found, means = counted(rows), engine_means(rows)
    mean_heading = mean_of(common_domains(found, by="engine"), names)
    lines = [
        f"| engine | {' | '.join(names)} | {mean_heading} | seeds | s a run |",
        f"|---|{'---:|' * (len(names) + 3)}",
    ]
    for engine in ENGINES:
        own = [row for row in found if row["engine"] == engine]
        of = [[row for row in own if row["domain"] == name] for name in names]
        mean = means[engine]
        cells = [accuracy.cell(each) for each in of]
        cells.append("not run here" if mean is None else f"{100 * mean:.1f}")
        cells.append(" to ".join(map(str, sorted({min(map(len, of)), max(map(len, of))}))))
        cells.append(f"{statistics.median(row['train_s'] for row in own):.0f}" if own else "–")
        lines.append(f"| {engine} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("--engine", choices=ENGINES)
    parser.add_argument("--domain", choices=domains.DOMAINS, action="append")
    parser.add_argument("--seed", type=int, choices=range(SEEDS))
    add_run_options(parser)
    options = parser.parse_args()
    if options.what == "run":
        torch.set_num_threads(options.threads)
        opened = {}
        for engine in ENGINES if options.engine is None else (options.engine,):
            opened[engine] = open_engine(BACKBONE, engine=engine)
            opened[engine].threads = options.threads
        tuned, rows = read_rows(tuning.FILE), read_rows(FILE)
        names = domains.available_domains(options.domain or list(domains.DOMAINS))
        runs = [
            (engine, run)
            for engine, run in ordered_runs(names)
            if engine in opened and options.seed in (None, run.seed)
        ]
        place, shares = options.share
        todo = [
            (
                METHOD,
                f"{engine:5} {run.domain:13} {run.seed}",
                partial(make, opened[engine], run, tuned),
            )
            for engine, run in runs[place::shares]
            if not is_done(engine, run, options.threads, rows, tuned)
        ]
        make_rows(FILE, todo, len(runs[place::shares]))
    print(table(read_rows(FILE)))


if __name__ == "__main__":
    main()
