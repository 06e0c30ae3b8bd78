"""Gates of blocks, and of resolution beside them, on the PyTorch engine: accuracy, compute, time.

    python benchmarks/gates_torch.py run [--domain digits] [--unit blocks] [--kind static]
    python benchmarks/gates_torch.py time        # with nothing else on the machine
    python benchmarks/gates_torch.py table

`run` learns each domain at 224 px without gates and with each kind, for as many steps each, and
judges it on the test images; the learned domains stay in demo/gates, and runs that are in
`results/gates.jsonl` are not made again. `time` times all of these, with gates and without, in
turns: `results/gates.json`. ResNet-50 has no trained weights here, so its adaptors and gates learn
on random ones, from few images of one domain: its rows are about time. Two looks need no PyTorch:
`gates.py` has them. Rows of them in the files are of two looks that shared one adaptor.
"""

import argparse
import dataclasses
import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import domains
import gates_torch_table
import torch
from result_rows import (
    RESULTS,
    ROOT,
    Row,
    add_run_options,
    make_rows,
    spell_command,
    surroundings,
)
from trial import hyperparameters

import addapt
from addapt.bench.gates import TIMED_IMAGES, bench_gates, time_gates
from addapt.gates import UNITS, ungated_px
from addapt.images import load_images, scan_classes

FILE = RESULTS / "gates.jsonl"
TIMES = RESULTS / "gates.json"
STORE = ROOT / "demo" / "gates"
PX = 224
TARGETS = {
    "resolution": (0.6, 0.4, 0.8, 0.25),
    "blocks": (0.6, 0.5, 0.8, 0.7),  # what has no shortcut is always computed: 49 %
}
SHARES, SHARES_OF_RANDOM = 4, 2
EPOCHS = 4  # of 1,000 images: 228 steps of 16
EPOCHS_OF_FACES = 17  # of 240: as many steps
ROUNDS = 7
UNGATED = gates_torch_table.UNGATED
KINDS = (gates_torch_table.STATIC, gates_torch_table.DYNAMIC)
RANDOM = "resnet50"
RANDOM_DOMAIN = "digits"


@dataclass(frozen=True)
class Run:
    """One domain to learn; `unit` "none" is without gates."""

    backbone: str
    domain: str
    unit: str
    kind: str
    compute_target: float

    @property
    def gates(self) -> addapt.GateConfig | None:
        """What is asked for, if anything."""
        if self.unit == UNGATED:
            return None
        return addapt.GateConfig(
            self.unit, self.kind == gates_torch_table.DYNAMIC, self.compute_target
        )

    @property
    def method(self) -> str:
        """What is alike in how long it takes."""
        return f"{self.unit}-{self.kind}"

    @property
    def name(self) -> str:
        """Of the learned domain in the store."""
        return f"{self.domain}-{self.unit}-{self.kind}-{self.compute_target:g}"


def ordered_runs(names: Sequence[str]) -> list[Run]:
    """Return all runs, the most useful first: every kind at one share, then at the next."""
    lite = "efficientnet_lite0"
    runs = [Run(lite, name, UNGATED, KINDS[0], 1.0) for name in names]
    for place in range(SHARES):
        for unit, kind in gates_torch_table.GATES:
            runs += [Run(lite, name, unit, kind, TARGETS[unit][place]) for name in names]
    runs.append(Run(RANDOM, RANDOM_DOMAIN, UNGATED, KINDS[0], 1.0))
    for place in range(SHARES_OF_RANDOM):
        for unit, kind in gates_torch_table.GATES:
            runs.append(Run(RANDOM, RANDOM_DOMAIN, unit, kind, TARGETS[unit][place]))
    return runs


def load(name: str) -> addapt.Learner:
    backbone = addapt.load_backbone(name, "random" if name == RANDOM else None)
    return addapt.Learner(backbone, STORE / name)


def is_done(run: Run, rows: Sequence[Row]) -> bool:
    return any(dataclasses.asdict(run).items() <= row.items() for row in rows)


def make(learner: addapt.Learner, run: Run) -> Row:
    """Learn, and judge on the test images."""
    folders = domains.domain_folders(run.domain)
    random = run.backbone == RANDOM
    train = folders.few if random else folders.train
    assert train is not None
    epochs = EPOCHS_OF_FACES if run.domain == domains.FACES else EPOCHS
    report = learner.learn(
        run.name,
        train,
        epochs=1 if random else epochs,
        image_px=PX,
        gates=run.gates,
        restart=True,
    )
    history = learner.store.history_path(run.name).read_text().splitlines()
    row = dataclasses.asdict(run) | {
        "method": run.method,
        "hyperparameters": hyperparameters(gates_torch_table.METHOD),
        "image_px": report.image_px,
        "epochs": report.epochs,
        "train_s": json.loads(history[-1])["train_s"],
        "wall_s": round(report.learn_s, 1),
        "file_bytes": report.file_bytes,
    }
    if run.gates is None:
        return row | {"accuracy": learner.evaluate(run.name, folders.test).accuracy}
    judged = bench_gates(learner, run.name, folders.test, ROUNDS, gates_only=True)
    return row | {
        "accuracy": judged.accuracy,
        "same_domain_all_open_accuracy": judged.ungated_accuracy,
        "multiply_adds": judged.multiply_adds,
        "ungated_multiply_adds": judged.ungated_multiply_adds,
        "open_shares": judged.open_shares,
        "rescues": report.gates["report"]["rescues"],
    }


def run_all(runs: Sequence[Run], device: str) -> None:
    """Make the runs that are not in the file yet."""
    rows = gates_torch_table.read_runs(FILE)
    learner = functools.cache(load)

    def make_here(run: Run) -> Row:
        words = ["--domain", run.domain, "--unit", run.unit, "--kind", run.kind]
        words += ["--backbone", run.backbone, "--compute", f"{run.compute_target:g}"]
        command = spell_command("gates_torch", "run", *words, device=device)
        return make(learner(run.backbone), run) | surroundings(command, device)

    todo = [
        (run.method, f"{run.backbone} {run.name:36}", functools.partial(make_here, run))
        for run in runs
        if not is_done(run, rows)
    ]
    make_rows(FILE, todo, len(runs))


def time_all(device: str) -> None:
    """Time every learned domain that the file has, and write them all."""
    rows = gates_torch_table.read_runs(FILE)
    ungated = {(r["backbone"], r["domain"]): r["accuracy"] for r in rows if r["unit"] == UNGATED}
    timed: list[dict[str, Any]] = []
    for name in dict.fromkeys(row["backbone"] for row in rows):
        learner = load(name)
        for row in rows:
            if row["backbone"] != name or row["unit"] == UNGATED:
                continue
            run = Run(*(row[field.name] for field in dataclasses.fields(Run)))
            info, model = learner.load(run.name)
            samples = scan_classes(domains.domain_folders(run.domain).test, info.classes).samples
            some = samples[:: len(samples) // TIMED_IMAGES][:TIMED_IMAGES]
            gated, open_ = (
                load_images(some, px, info.interpolation)[0]
                for px in (info.image_px, ungated_px(info))
            )
            if not timed:  # what a process computes first is slower
                time_gates(model, gated, open_, 1)
            times = time_gates(model, gated, open_, ROUNDS)
            names = ("ms_batch1", "ungated_ms_batch1", "ms_batch16", "ungated_ms_batch16")
            kept = ("accuracy", "multiply_adds", "ungated_multiply_adds", "open_shares", "train_s")
            timed.append(
                dataclasses.asdict(run)
                | {field: row[field] for field in kept}
                | {"ungated_accuracy": ungated.get((name, run.domain))}
                | {field: round(ms, 2) for field, ms in zip(names, times, strict=True)}
            )
            print(f"{name} {run.name:36} {times[1] / times[0]:.2f}x", flush=True)
    result = {"rows": timed, "image_px": PX, "rounds": ROUNDS}
    TIMES.write_text(
        json.dumps(
            result | surroundings(spell_command("gates_torch", "time", device=device), device)
        )
        + "\n",
        encoding="utf-8",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("run", "time", "table"))
    parser.add_argument("--domain", choices=domains.GREY, action="append")
    parser.add_argument("--unit", choices=(UNGATED, *UNITS))
    parser.add_argument("--kind", choices=KINDS)
    parser.add_argument("--compute", type=float, choices=sorted({1.0, *sum(TARGETS.values(), ())}))
    parser.add_argument("--backbone", choices=("efficientnet_lite0", RANDOM))
    add_run_options(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.what == "run":
        wanted = {
            "unit": options.unit,
            "kind": options.kind,
            "compute_target": options.compute,
            "backbone": options.backbone,
        }
        names = domains.available_domains(options.domain or list(domains.GREY))
        runs = [
            run
            for run in ordered_runs(names)
            if run.domain in names
            and all(value in (None, getattr(run, name)) for name, value in wanted.items())
        ]
        place, shares = options.share
        run_all(runs[place::shares], options.device)
    elif options.what == "time":
        time_all(options.device)
    else:
        rows = gates_torch_table.joined(FILE, TIMES)
        for backbone in dict.fromkeys(row["backbone"] for row in rows):
            print(f"\n{backbone}\n\n{gates_torch_table.table(rows, backbone)}")


if __name__ == "__main__":
    main()
