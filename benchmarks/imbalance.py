"""Rare classes: what a domain is worth that has 95 images of one class for 5 of another.

    python benchmarks/imbalance.py run [--domain silhouettes] [--seed 0] [--share 1/2]
    python benchmarks/imbalance.py table

Half of a domain's classes (of the solar cells: the defective ones) become rare. Each is learned as
the product does it where classes are very uneven, and as it was before: rare classes get no more
weight, and the plain accuracy chooses the epoch. Judged on all test images, by class: balanced
accuracy is the mean of the classes, and natural accuracy weighs them as they were in learning.
Runs already in `results/imbalance.jsonl` are not made again.
"""

import argparse
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from unittest import mock

import domains
import numpy as np
import torch
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
from trial import BACKBONE

from addapt.engines import open_engine
from addapt.engines.base import Engine
from addapt.learning import Learner
from addapt.learning.scores import Scores

FILE = RESULTS / "imbalance.jsonl"
METHOD = "da3"
SEEDS = 3
BEFORE, NOW = KINDS = ("before", "now")


@dataclass(frozen=True)
class Folder:
    """A domain with so many images of each common class, and of each rare one."""

    domain: str
    common: int
    rare: int


# 19 : 1, then milder ones, to see from where on it pays.
FOLDERS = (
    Folder("silhouettes", 95, 5),
    Folder("fashion-mnist", 95, 5),
    Folder("silhouettes", 60, 20),
    Folder("fashion-mnist", 60, 20),
    Folder("silhouettes", 80, 8),
    Folder("fashion-mnist", 80, 8),
    Folder("solar-cells", 171, 9),
)


@dataclass(frozen=True)
class Run:
    """What one row is about."""

    domain: str
    common: int
    rare: int
    seed: int
    kind: str


def ordered_runs(folders: Sequence[Folder] = FOLDERS) -> list[Run]:
    """Return all runs, the most useful first."""
    return [
        Run(folder.domain, folder.common, folder.rare, seed, kind)
        for folder in folders
        for seed in range(SEEDS)
        for kind in KINDS
    ]


def is_done(run: Run, rows: Sequence[Row]) -> bool:
    return any(asdict(run).items() <= row.items() for row in rows)


def rare_classes(classes: Sequence[str]) -> list[str]:
    """Return every second class, or the first of two: cells are rarely defective."""
    return list(classes[:1] if len(classes) == 2 else classes[1::2])


def write_folder(run: Run, train: Path, folder: Path) -> None:
    """Copy some images of each class, in an order drawn by the seed."""
    classes = sorted(path.name for path in train.iterdir())
    rare = rare_classes(classes)
    for label in classes:
        paths = sorted((train / label).iterdir())
        random.Random(f"{run.seed} {label}").shuffle(paths)
        (folder / label).mkdir(parents=True)
        for path in paths[: run.rare if label in rare else run.common]:
            shutil.copyfile(path, folder / label / path.name)


@contextmanager
def plain_choice() -> Iterator[None]:
    """Choose epochs by the plain accuracy, as before there were scores by class."""
    plain = property(lambda scores: scores.accuracy)
    images = property(lambda scores: float(scores.images.sum()))
    grain = property(lambda scores: 0.0)
    with mock.patch.multiple(Scores, balanced_accuracy=plain, balanced_images=images, grain=grain):
        yield


def make(engine: Engine, run: Run) -> Row:
    """Learn, and judge on the test images."""
    folders, started = domains.domain_folders(run.domain), time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "images"
        write_folder(run, folders.train, folder)
        learner = Learner(engine, Path(temporary) / "store")
        with plain_choice() if run.kind == BEFORE else nullcontext():
            report = learner.learn(
                "domain",
                folder,
                method=METHOD,
                image_px=domains.IMAGE_PX,
                seed=run.seed,
                balance="on" if run.kind == NOW else "off",
            )
        evaluation = learner.evaluate("domain", folders.test)
    rare = rare_classes(report.classes)
    shares = {score.label: score.accuracy or 0.0 for score in evaluation.per_class}
    counts = {label: run.rare if label in rare else run.common for label in report.classes}
    natural = sum(counts[label] * shares[label] for label in counts) / sum(counts.values())
    words = ("--domain", run.domain, "--seed", str(run.seed))
    return {
        **asdict(run),
        "engine": engine.name,
        "method": METHOD,
        "accuracy": natural,
        "balanced_accuracy": evaluation.balanced_accuracy,
        "rare_accuracy": float(np.mean([shares[label] for label in rare])),
        "common_accuracy": float(np.mean([shares[x] for x in counts if x not in rare])),
        "val_accuracy": report.val_accuracy,
        "val_report": report.val_report,
        "epochs": report.epochs,
        "best_epoch": report.best_epoch,
        "image_px": report.image_px,
        "wall_s": round(time.perf_counter() - started, 1),
    } | surroundings(
        spell_command("imbalance", "run", *words, device="cpu"), threads=engine.threads
    )


def table(rows: Sequence[Row]) -> str:
    """Render folders x kinds as Markdown: means over the seeds, in %."""
    found = latest(rows, "domain", "common", "rare", "seed", "kind").values()
    lines = [
        "| domain | images a class | kind | balanced | natural | rare | common | seeds |",
        "|---|---:|---|---:|---:|---:|---:|---:|",
    ]
    names = ("balanced_accuracy", "accuracy", "rare_accuracy", "common_accuracy")
    for folder in FOLDERS:
        for kind in KINDS:
            of = asdict(folder) | {"kind": kind}
            own = [row for row in found if of.items() <= row.items()]
            if own:
                means = [f"{100 * statistics.mean(row[name] for row in own):.1f}" for name in names]
                counts = f"{folder.common} : {folder.rare}"
                cells = (folder.domain, counts, kind, *means, str(len(own)))
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("--domain", choices=domains.DOMAINS, action="append")
    parser.add_argument("--seed", type=int, choices=range(SEEDS))
    add_run_options(parser)
    options = parser.parse_args()
    if options.what == "run":
        torch.set_num_threads(options.threads)
        engine = open_engine(BACKBONE, engine="onnx")
        engine.threads = options.threads
        names = domains.available_domains(options.domain or [each.domain for each in FOLDERS])
        runs = [
            run
            for run in ordered_runs()
            if run.domain in names and options.seed in (None, run.seed)
        ]
        place, shares = options.share
        rows = read_rows(FILE)
        todo = [
            (METHOD, f"{run}", partial(make, engine, run))
            for run in runs[place::shares]
            if not is_done(run, rows)
        ]
        make_rows(FILE, todo, len(runs[place::shares]))
    print(table(read_rows(FILE)))


if __name__ == "__main__":
    main()
