"""Going on with a domain: how many passes until it is as good as one that is learned anew.

    python benchmarks/extend.py [--threads 1] [--images FOLDER]

A domain is learned from 30 images of each of its classes but the last two. Then it gets those two
and 20 more images of each of the others, 50 of each class in all, and goes on for some passes. That
is compared with learning anew from the same 50 with the passes of the recipe, and, as a control,
with as few as the longest extension. All are judged on the images in test and spare, 1,500 in all,
as the difference is small; none of them is learned from.

Writes `results/extend.json` after each run and goes on there.
"""

import argparse
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import domains
import numpy as np
from result_rows import RESULTS, surroundings

from addapt.engines import open_engine
from addapt.learning import Learner, LearnReport

FILE = RESULTS / "extend.json"
DOMAINS = ("digits", "fashion-mnist")
SEEDS = 3
NEW_CLASSES = 2
IMAGES_BEFORE, IMAGES_NOW = 30, 50  # of a class
IMAGE_PX = 64
PASSES = (2, 5)
POINTS = 0.5  # less accuracy than this counts as equal

ANEW, EXTENDED = "anew", "extended"
Row = dict[str, Any]


def make_folder(train: Path, folder: Path, images: int, left_out: int) -> Path:
    """Copy so many images of each class, but for the last ones."""
    classes = sorted(train.iterdir())
    for source in classes[: len(classes) - left_out]:
        (folder / source.name).mkdir(parents=True)
        for path in sorted(source.iterdir())[:images]:
            shutil.copyfile(path, folder / source.name / path.name)
    return folder


class Trials:
    """All runs of one domain with one seed; each returns its row."""

    def __init__(self, learner: Learner, name: str, images: Path, work: Path, seed: int) -> None:
        self.learner, self.name, self.seed = learner, name, seed
        folders = domains.domain_folders(name, images)
        self.judged = [part for part in (folders.test, folders.spare) if part is not None]
        self.before, self.now = (work / part for part in ("before", "now"))
        if not self.now.exists():
            make_folder(folders.train, self.before, IMAGES_BEFORE, NEW_CLASSES)
            make_folder(folders.train, self.now, IMAGES_NOW, 0)

    def run(self, how: str, passes: int | None) -> Row:
        """Learn anew, or extend what was learned before, and judge.

        None are the recipe's passes.
        """
        started = time.perf_counter()
        if how == EXTENDED:
            beginning = f"before-{self.seed}"
            if not self.learner.store.exists(beginning):
                self.learner.learn(
                    beginning, self.before, image_px=IMAGE_PX, seed=self.seed, restart=True
                )
            shutil.copyfile(*map(self.learner.store.path, (beginning, "x")))
            report = self.learner.learn("x", self.now, extend=True, epochs=passes, seed=self.seed)
        else:
            report = self.learner.learn(
                "x", self.now, image_px=IMAGE_PX, epochs=passes, seed=self.seed, restart=True
            )
        return self._row(how, passes, report, time.perf_counter() - started)

    def _row(self, how: str, passes: int | None, report: LearnReport, wall_s: float) -> Row:
        parts = [self.learner.evaluate("x", folder).confusion for folder in self.judged]
        confusion = np.sum(parts, axis=0)
        images, correct = confusion.sum(1), confusion.diagonal()
        return {
            "domain": self.name,
            "seed": self.seed,
            "how": how,
            "asked_passes": passes,
            "passes": report.epochs,
            "best_pass": report.best_epoch,
            "judged_images": int(images.sum()),
            "accuracy": float(correct.sum() / images.sum()),
            "new_classes": float(correct[-NEW_CLASSES:].sum() / images[-NEW_CLASSES:].sum()),
            "old_classes": float(correct[:-NEW_CLASSES].sum() / images[:-NEW_CLASSES].sum()),
            "val_accuracy": report.val_accuracy,
            "wall_s": round(wall_s, 1),
        }


def runs() -> list[tuple[str, int | None]]:
    """Return what is compared: how, and with how many passes."""
    return [(ANEW, None), (ANEW, max(PASSES)), *((EXTENDED, passes) for passes in PASSES)]


def mean(rows: list[Row], name: str, how: str, passes: int | None, what: str = "accuracy") -> float:
    """Return the mean over seeds."""
    key = {"domain": name, "how": how, "asked_passes": passes}
    return float(statistics.mean(row[what] for row in rows if key.items() <= row.items()))


def table(rows: list[Row]) -> str:
    """Render the means over seeds as Markdown."""
    lines = ["| domain | learned | passes | accuracy | new classes |", "|---|---|---:|---:|---:|"]
    for name in DOMAINS:
        for how, passes in runs():
            try:
                cells = (
                    f"{mean(rows, name, how, passes, 'passes'):.0f}",
                    f"{100 * mean(rows, name, how, passes):.1f}",
                    f"{100 * mean(rows, name, how, passes, 'new_classes'):.1f}",
                )
            except statistics.StatisticsError:  # not run yet
                continue
            lines.append(f"| {name} | {how} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def fewest(rows: list[Row]) -> dict[str, int | None]:
    """Return the fewest passes by which an extension is as good as a domain learned anew."""
    found: dict[str, int | None] = {}
    for name in DOMAINS:
        needed = mean(rows, name, ANEW, None) - POINTS / 100
        good = [p for p in PASSES if mean(rows, name, EXTENDED, p) >= needed]
        found[name] = min(good, default=None)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--images", type=Path, default=domains.IMAGES)
    options = parser.parse_args()
    result: dict[str, Any] = json.loads(FILE.read_text()) if FILE.exists() else {"rows": []}
    rows: list[Row] = result["rows"]
    engine = open_engine(engine="onnx")
    engine.threads = options.threads
    with tempfile.TemporaryDirectory() as work:
        for seed in range(SEEDS):
            for name in DOMAINS:
                place = Path(work) / name
                learner = Learner(engine, place / "store")
                trials = Trials(learner, name, options.images, place, seed)
                for how, passes in runs():
                    key = {"domain": name, "seed": seed, "how": how, "asked_passes": passes}
                    if any(key.items() <= row.items() for row in rows):
                        continue
                    rows.append(trials.run(how, passes))
                    result |= surroundings("python benchmarks/extend.py", threads=engine.threads)
                    FILE.write_text(json.dumps(result, indent=1) + "\n")
                    print(rows[-1], flush=True)
    result["fewest_passes"] = fewest(rows)
    FILE.write_text(json.dumps(result, indent=1) + "\n")
    print(table(rows), result["fewest_passes"])


if __name__ == "__main__":
    main()
