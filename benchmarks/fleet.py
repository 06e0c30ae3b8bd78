"""A fleet of eight devices against each device alone, and against all images in one place.

    python benchmarks/fleet.py run [--domain digits] [--split even] [--seed 0] [--processes 1]
    python benchmarks/fleet.py processes [--devices 2] [--image-px 224]
    python benchmarks/fleet.py kills [--runs 5]
    python benchmarks/fleet.py table    # also into docs/FLEET.md

`run` needs the extra `fleet`. It splits 1,000 training images in three ways: evenly; by class, each
class's shares drawn from a Dirichlet distribution of .3; by size, the second device half as many as
the first, the third a third. Messages go from the server's app straight to the devices' apps, in
one process: both apps, Flower's strategy and its averages are those of real processes, which would
take hours. Accuracy is that on the test images, which nobody learns from. Appends to
`results/fleet.jsonl`; runs that are there are made anew only with `--again`. Devices alone and one
place do not depend on how fleets learn: a run made anew takes their figures over.

`processes` starts a real SuperLink and real SuperNodes on the loopback address and writes the most
memory of each kind of process, and the time of a round, to `results/fleet_processes.json`.

`kills` starts a real server and four real devices, kills a device and the server at times that are
drawn by the run's number, starts the server again, and appends what was left to
`results/fleet_kills.jsonl`. A run takes some minutes, as a device is missed after a minute.
"""

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import domains
import memory_tables
import numpy as np
import numpy.typing as npt
from result_rows import RESULTS, ROOT, Row, append_row, latest, make_rows, read_rows, surroundings

from addapt.engines import open_engine
from addapt.engines.base import Engine, State
from addapt.images import ImageSet, load_images, scan_folder
from addapt.learning import Learner
from addapt.learning.evaluation import evaluate
from addapt.methods import build_method

FILE = RESULTS / "fleet.jsonl"
KILLS_FILE = RESULTS / "fleet_kills.jsonl"
PAGE, MARK, KILLS_MARK = ROOT / "docs" / "FLEET.md", "accuracy", "kills"
NOT_RUN = "Not run here yet: `python benchmarks/fleet.py run`."
PROCESSES_FILE = RESULTS / "fleet_processes.json"
DOMAINS = ("digits", "solar-cells")
SPLITS = {"even": "split evenly", "skewed": "skewed by class", "sizes": "devices of all sizes"}
BACKBONE, METHOD = "efficientnet_lite0", "da3"
DEVICES, ROUNDS, SEEDS = 8, 20, 3
JUDGED_EVERY = 2  # rounds
TOLD_ROUNDS = (4, 10, ROUNDS)
SKEW = 0.3
FEWEST_OF_A_CLASS, FEWEST = 3, 10  # images that a device may have

Folders = list[dict[str, list[Path]]]


def split(train: Path, how: str, devices: int, seed: int) -> Folders:
    """Deal images out: for each device, those of each class that it has."""
    chance = np.random.default_rng(seed)
    while True:
        dealt: Folders = [{} for _ in range(devices)]
        sizes = 1 / np.arange(1, devices + 1) if how == "sizes" else np.ones(devices)
        for folder in sorted(train.iterdir()):
            paths = sorted(folder.iterdir())
            chance.shuffle(paths)
            shares = chance.dirichlet([SKEW] * devices) if how == "skewed" else sizes / sizes.sum()
            for device, part in enumerate(_parts(len(paths), shares)):
                if len(part):
                    dealt[device][folder.name] = [paths[place] for place in part]
        if all(sum(map(len, own.values())) >= FEWEST for own in dealt):
            return dealt


def _parts(images: int, shares: npt.NDArray[np.float64]) -> list[npt.NDArray[np.int64]]:
    """Split so many images; who would get very few of them leaves them to who gets most."""
    ends = np.round(np.cumsum(shares) * images).astype(np.int64)
    counts = np.diff(ends, prepend=0)
    counts[counts < FEWEST_OF_A_CLASS] = 0
    counts[shares.argmax()] += images - counts.sum()
    return np.split(np.arange(images), np.cumsum(counts)[:-1])


def lay_out(dealt: Folders, work: Path) -> list[Path]:
    """Write each device's class folders."""
    folders = []
    for device, own in enumerate(dealt):
        folders.append(work / f"device{device}")
        for label, paths in own.items():
            (folders[-1] / label).mkdir(parents=True)
            for path in paths:
                shutil.copyfile(path, folders[-1] / label / path.name)
    return folders


def recognised(learner: Learner, test: Path) -> float:
    """Return the share of test images that get the name of their class."""
    paths = sorted(path for path in test.rglob("*") if path.is_file())
    predictions = learner.predict(paths, domain="domain")
    right = [p.label == path.parent.name for p, path in zip(predictions, paths, strict=True)]
    return float(statistics.mean(right))


def learn_alone(threads: int, folder: Path, test: Path, seed: int) -> float:
    """Learn as `addapt learn` does by itself; return the accuracy on all classes.

    A device with images of one class has nothing to learn: it takes all others for that, too.
    """
    labels = [path.name for path in folder.iterdir()]
    if len(labels) == 1:
        images = [path for path in test.rglob("*") if path.is_file()]
        return statistics.mean(path.parent.name == labels[0] for path in images)
    engine = open_engine(BACKBONE, engine="onnx")
    engine.threads = threads
    with tempfile.TemporaryDirectory() as store:
        learner = Learner(engine, store)
        learner.learn("domain", folder, method=METHOD, seed=seed)
        return recognised(learner, test)


def learn_together(
    engine: Engine, folders: Sequence[Path], test: Path, seed: int, strategy: str
) -> Row:
    """Learn as a fleet; return the accuracy by rounds, and what was sent."""
    from fleet_in_process import InProcessGrid, lead
    from flwr.app import Message, MessageType

    from addapt.fleet.messages import ARRAYS, arrays_of

    states: list[State] = []
    sent = defaultdict[str, int](int)

    def note(message: Message, answer: Message) -> None:
        if message.metadata.message_type == MessageType.TRAIN:
            sent["down"] += _array_bytes(message)
            sent["up"] += _array_bytes(answer)
            sent["messages"] += 1
            if sent["messages"] % len(folders) == 1:
                states.append(arrays_of(message.content.array_records[ARRAYS]))
        elif message.metadata.message_type == MessageType.EVALUATE and len(states) == ROUNDS:
            states.append(arrays_of(message.content.array_records[ARRAYS]))

    with tempfile.TemporaryDirectory() as work:
        devices = [
            {
                "images": str(folder),
                "name": "domain",
                "store": f"{work}/{folder.name}",
                "threads": engine.threads,
            }
            for folder in folders
        ]
        settings = {
            "name": "domain",
            "rounds": ROUNDS,
            "min-devices": len(folders),
            "strategy": strategy,
            "store": f"{work}/server",
            "restart": False,
            "backbone": BACKBONE,
            "weights": "",
            "method": METHOD,
            "image-px": 0,
            "seed": seed,
            "clipping-norm": 0.0,
            "noise-multiplier": 0.0,
            "round-timeout": 3600.0,
            "news": f"{work}/news.jsonl",
        }
        lead(InProcessGrid(devices, note), settings)
        news = [json.loads(line) for line in Path(f"{work}/news.jsonl").read_text().splitlines()]
    plan = next(line for line in news if "image_px" in line)
    contents = scan_folder(test)
    images, _ = load_images(contents.samples, plan["image_px"], engine.backbone.input.interpolation)
    judged = [*range(0, ROUNDS, JUDGED_EVERY), ROUNDS]
    return {
        "by_round": {
            str(done): judge(engine, states[done], contents.classes, images) for done in judged
        },
        "left_out": sum("left_out" in line for line in news),
        "bytes_down": sent["down"] // sent["messages"],
        "bytes_up": sent["up"] // sent["messages"],
        "finetuning_bytes": 2 * engine.weights_bytes,  # the network there and back, without a head
        "image_px": plan["image_px"],
    }


def _array_bytes(message: Any) -> int:
    return sum(
        len(array.data)
        for record in message.content.array_records.values()
        for array in record.values()
    )


def judge(engine: Engine, state: State, classes: Sequence[str], images: ImageSet) -> float:
    """Return the accuracy of a state."""
    method = build_method(METHOD).for_backbone(len(engine.backbone.blocks))
    model = engine.new_model(method, len(classes), seed=0)
    model.load_state(state)
    return evaluate(model, images)[0].accuracy


def make(
    engine: Engine,
    processes: int,
    before: Row | None,
    name: str,
    how: str,
    seed: int,
    strategy: str,
) -> Row:
    """Make one run: a fleet, and in processes beside it its devices alone and all in one place.

    Those are taken from the run of `before` if there is one.
    """
    started = time.perf_counter()
    folders = domains.domain_folders(name)
    with tempfile.TemporaryDirectory() as work, _pool(processes) as pool:
        dealt = split(folders.train, how, DEVICES, seed)
        own = lay_out(dealt, Path(work))
        beside = [
            pool.submit(learn_alone, engine.threads, folder, folders.test, seed)
            for folder in (() if before else (*own, folders.train))
        ]
        together = learn_together(engine, own, folders.test, seed, strategy)
        found = [learned.result() for learned in beside]
    apart = (
        {figure: before[figure] for figure in ("alone", "one_place")}
        | {"apart_commit": _apart(before)}
        if before
        else {"alone": found[:-1], "one_place": found[-1]}
    )
    words = f"--domain {name} --split {how} --seed {seed} --strategy {strategy}"
    words += " --again" if before else ""
    return {
        "domain": name,
        "split": how,
        "seed": seed,
        "strategy": strategy,
        "method": METHOD,
        "backbone": BACKBONE,
        "rounds": ROUNDS,
        "images": [sum(map(len, device.values())) for device in dealt],
        "classes": [len(device) for device in dealt],
        **together,
        "accuracy": together["by_round"][str(ROUNDS)],
        **apart,
        "wall_s": round(time.perf_counter() - started, 1),
    } | surroundings(
        f"python benchmarks/fleet.py run {words} --threads {engine.threads}",
        threads=engine.threads,
    )


def _apart(row: Row) -> str:
    """Return the commit of the run that made a row's figures of devices alone and one place."""
    return str(row.get("apart_commit", row["commit"]))


def _pool(processes: int) -> ProcessPoolExecutor:
    """Return processes that share nothing with this one, whose engine has threads of its own."""
    return ProcessPoolExecutor(processes, mp_context=get_context("spawn"))


def run(args: argparse.Namespace) -> None:
    """Make the runs that are not in the file yet."""
    engine = open_engine(BACKBONE, engine="onnx")
    engine.threads = args.threads
    seeds = range(SEEDS) if args.seed is None else [args.seed]
    names, splits = args.domain or DOMAINS, args.split or SPLITS
    done = latest(read_rows(FILE), "domain", "split", "seed", "strategy")
    wanted = [
        (name, how, seed, args.strategy) for seed in seeds for name in names for how in splits
    ]
    todo = [
        (
            METHOD,
            " ".join(map(str, key)),
            partial(make, engine, args.processes, done.get(key), *key),
        )
        for key in wanted
        if args.again or key not in done
    ]
    make_rows(FILE, todo, len(wanted))


def table(rows: Sequence[Row]) -> str:
    """Render means over seeds as Markdown."""
    if not rows:
        return NOT_RUN
    after = " | ".join(f"after {rounds}" for rounds in TOLD_ROUNDS)
    lines = [
        f"| % of test images, by rounds | {after} | one place | a device alone, mean | the best "
        "| a device and round sends and gets | of fine-tuning | seeds |",
        f"|---|{'---:|' * (len(TOLD_ROUNDS) + 6)}",
    ]
    found = defaultdict[tuple[str, str, str], list[Row]](list)
    for row in latest(rows, "domain", "split", "seed", "strategy").values():
        found[row["domain"], row["split"], row["strategy"]].append(row)
    ordered = sorted(found, key=lambda key: (key[0], [*SPLITS].index(key[1]), key[2]))
    for domain, how, strategy in ordered:
        own = found[domain, how, strategy]
        shares = [
            *(statistics.mean(row["by_round"][str(after)] for row in own) for after in TOLD_ROUNDS),
            statistics.mean(row["one_place"] for row in own),
            statistics.mean(statistics.mean(row["alone"]) for row in own),
            statistics.mean(max(row["alone"]) for row in own),
        ]
        sent = own[-1]["bytes_down"] + own[-1]["bytes_up"]
        cells = [f"{domain}, {SPLITS[how]}" + ("" if strategy == "fedavg" else f", {strategy}")]
        cells += [f"{100 * share:.1f}" for share in shares]
        cells += [f"{sent / 1e6:.2f} MB", f"1/{own[-1]['finetuning_bytes'] / sent:.1f}"]
        lines.append(f"| {' | '.join([*cells, str(len(own))])} |")
    return "\n".join(lines)


def filled(page: str) -> str:
    """Put the table into the page."""
    tables = {
        MARK: lambda: table(read_rows(FILE)),
        KILLS_MARK: lambda: kills_table(read_rows(KILLS_FILE)),
    }
    return memory_tables.fill(page, tables)


def kills(args: argparse.Namespace) -> None:
    """Make the runs with kills that are not in the file yet."""
    from fleet_kills import run_with_kills

    done = latest(read_rows(KILLS_FILE), "seed")
    for seed in range(args.runs) if args.seed is None else [args.seed]:
        if (seed,) not in done:
            command = f"python benchmarks/fleet.py kills --seed {seed}"
            append_row(KILLS_FILE, run_with_kills(seed) | surroundings(command, threads=1))


def kills_table(rows: Sequence[Row]) -> str:
    """Render runs with kills as Markdown."""
    lines = [
        "| run | device killed | server killed | all ended well | domains written | stores harmed "
        "| accuracy |",
        "|---|---|---|---|---:|---:|---:|",
    ]
    for row in sorted(latest(rows, "seed").values(), key=lambda row: row["seed"]):
        when = [
            f"at {row['killed_s'][who]:.0f} s, in round {row['rounds_before'][who] + 1}"
            for who in ("device", "server")
        ]
        ended = "no" if any(row["exit_codes"]) else "yes"
        accuracy = "" if row["accuracy"] is None else f"{row['accuracy']:.1%}"
        cells = [row["seed"], *when, ended, row["domains"], row["stores_harmed"], accuracy]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def processes(args: argparse.Namespace) -> None:
    """Measure real processes: their memory, and the time of a round."""
    from fleet_processes import measure

    row = measure(args.devices, args.image_px, args.rounds)
    words = f"--devices {args.devices} --image-px {args.image_px} --rounds {args.rounds}"
    row |= surroundings(f"python benchmarks/fleet.py processes {words}", threads=1)
    PROCESSES_FILE.write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(row, indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("run", "processes", "kills", "table"))
    parser.add_argument("--domain", choices=domains.DOMAINS, action="append")
    parser.add_argument("--split", choices=SPLITS, action="append")
    parser.add_argument("--strategy", default="fedavg", help="fedavg, fedprox or fedadam")
    parser.add_argument("--again", action="store_true", help="make runs that are there, too")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--processes", type=int, default=1, help="that learn alone, beside the one of the fleet"
    )
    parser.add_argument("--devices", type=int, default=2, help="of real processes")
    parser.add_argument("--rounds", type=int, default=3, help="of real processes")
    parser.add_argument("--image-px", type=int, default=224, help="of real processes")
    parser.add_argument("--runs", type=int, default=5, help="with kills")
    args = parser.parse_args()
    if args.what == "table":
        PAGE.write_text(filled(PAGE.read_text("utf-8")), encoding="utf-8")
        print(table(read_rows(FILE)))
    else:
        {"run": run, "processes": processes, "kills": kills}[args.what](args)


if __name__ == "__main__":
    main()
