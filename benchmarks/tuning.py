"""The same small search for every method, on images that no test set has.

    python benchmarks/tuning.py run [--method da3] [--domain silhouettes] [--share 1/2]
    python benchmarks/tuning.py table

Four trials a method: two learning rates, each in a short and in a long schedule. Each learns the
1,000 training images of two domains, at 96 px, and is judged on 1,000 spare ones; the trial with
the best mean wins, and its rate is used for all domains by the other benchmarks. Trials already in
`results/tuning.jsonl` are not made again, so the search may be broken off and gone on with.
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
from result_rows import (
    RESULTS,
    Row,
    accuracy_of,
    add_run_options,
    make_rows,
    read_rows,
    same,
    spell_command,
    surroundings,
)
from trial import BACKBONE, Settings, is_of, learn_and_judge, recipe_settings

import addapt
from addapt.methods import METHODS

FILE = RESULTS / "tuning.jsonl"
TUNED_ON = ("silhouettes", "solar-cells")

# Passes over the images, and steps where those are more: the same for every method.
SCHEDULES = {"short": (5, 200), "long": (10, 400)}

# The first rate is the recipe's, the second this one. Methods that train what was pre-trained
# have a rate of its own for that, and it is this one that varies; the head's stays.
OTHER_RATES = {
    "bias": 1e-2,
    "da3": 2e-3,
    "finetune": 3e-4,
    "finetune_frozen_bn": 3e-4,
    "head": 1e-2,
    "lora": 3e-3,
    "norm": 3e-3,
    "parallel_adapter": 3e-4,
    "piggyback": 3e-5,
    "repnet": 1e-3,
    "series_adapter": 3e-4,
    "tinytl": 1e-3,
}
OTHER_FACTOR = 3.0  # of the recipe's rate, for methods that are not in the table


@dataclass(frozen=True)
class Trial:
    """One point of a method's search."""

    rate: float
    schedule: str
    settings: Settings


def trials(method: str) -> list[Trial]:
    """Return the four trials of a method; the short ones first, since they win a tie."""
    recipe = recipe_settings(method)
    varied = rate_name(method)
    own: float = getattr(recipe, varied)
    return [
        Trial(
            rate,
            schedule,
            dataclasses.replace(recipe, **{varied: rate}, epochs=epochs, min_steps=steps),
        )
        for schedule, (epochs, steps) in SCHEDULES.items()
        for rate in (own, OTHER_RATES.get(method, OTHER_FACTOR * own))
    ]


def rate_name(method: str) -> str:
    """Name the rate that varies."""
    return "backbone_lr" if METHODS[method].recipe.backbone_lr else "lr"


def find(rows: Sequence[Row], method: str, domain: str, settings: Settings) -> Row | None:
    """Return the last row of a trial; rows of other defaults of the method do not count."""
    wanted = dataclasses.asdict(settings)
    for row in reversed(rows):
        if (
            row["method"] == method
            and row["domain"] == domain
            and same(row["settings"], wanted)
            and is_of(row, method)
        ):
            return row
    return None


def score(rows: Sequence[Row], method: str, trial: Trial) -> float | None:
    """Return the mean accuracy of a trial; None unless both domains are there."""
    found = [find(rows, method, domain, trial.settings) for domain in TUNED_ON]
    # A run that diverged is the worst there is.
    values = [row["accuracy"] or 0.0 for row in found if row is not None]
    return statistics.mean(values) if len(values) == len(TUNED_ON) else None


def winner(rows: Sequence[Row], method: str) -> Trial | None:
    """Return the trial with the best mean; None until all of the method's are there."""
    scores = [(score(rows, method, trial), trial) for trial in trials(method)]
    complete = [(value, trial) for value, trial in scores if value is not None]
    if len(complete) < len(scores):
        return None
    return max(complete, key=lambda pair: pair[0])[1]


def chosen_settings(rows: Sequence[Row], method: str) -> tuple[Settings, str]:
    """Return what a method is trained with, and in a word why: "tuned" or "recipe"."""
    trial = winner(rows, method)
    return (trial.settings, "tuned") if trial else (recipe_settings(method), "recipe")


def table(rows: Sequence[Row]) -> str:
    """Render all trials as Markdown, winners in bold."""
    lines = [
        f"| method | rate | schedule | {' | '.join(TUNED_ON)} | mean |",
        f"|---|---:|---|{'---:|' * (len(TUNED_ON) + 1)}",
    ]
    for method in METHODS:
        best = winner(rows, method)
        for trial in trials(method):
            found = [find(rows, method, domain, trial.settings) for domain in TUNED_ON]
            mean = score(rows, method, trial)
            bold = "**" if trial == best else ""
            cells = [accuracy_of(row) for row in found]
            cells.append("not run here" if mean is None else f"{bold}{mean:.3f}{bold}")
            rate = f"{rate_name(method)} {trial.rate:g}"
            lines.append(f"| {method} | {rate} | {trial.schedule} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def run(jobs: Sequence[tuple[str, Trial, str]], file: Path, device: str) -> None:
    """Make the trials, each of a method on a domain, that are not in the file yet."""
    backbone = addapt.load_backbone(BACKBONE, device=device)
    rows = read_rows(file)
    todo = [
        (
            method,
            f"{method:18} {rate_name(method)} {trial.rate:g} {trial.schedule:5} {domain:12}",
            partial(make, backbone, method, trial, domain, device),
        )
        for method, trial, domain in jobs
        if find(rows, method, domain, trial.settings) is None
    ]
    make_rows(file, todo, len(jobs))


def make(backbone: addapt.Backbone, method: str, trial: Trial, domain: str, device: str) -> Row:
    """Learn and judge on the spare images."""
    folders = domains.domain_folders(domain)
    assert folders.spare is not None
    row = learn_and_judge(
        backbone,
        method,
        trial.settings,
        folders.train,
        folders.spare,
        image_px=domains.IMAGE_PX,
    )
    command = spell_command("tuning", "run", "--method", method, "--domain", domain, device=device)
    given = {"domain": domain, "rate": trial.rate, "schedule": trial.schedule}
    return given | row | surroundings(command, device)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("--method", choices=METHODS, action="append")
    parser.add_argument("--domain", choices=TUNED_ON, action="append")
    add_run_options(parser)
    parser.add_argument("--results", type=Path, default=FILE)
    options = parser.parse_args()
    if options.what == "table":
        print(table(read_rows(options.results)))
        return
    torch.set_num_threads(options.threads)
    jobs = [
        (method, trial, domain)
        for method in options.method or METHODS
        for trial in trials(method)
        for domain in options.domain or TUNED_ON
    ]
    place, shares = options.share
    run(jobs[place::shares], options.results, options.device)


if __name__ == "__main__":
    main()
