"""Which domain an image is of, or none: all benchmark domains in one store, and foreign images.

    python benchmarks/which_domain.py learn [--threads 1]     the domains, whole and in parts
    python benchmarks/which_domain.py measure [--threads 1]   writes results/which_domain.json
    python benchmarks/which_domain.py table

Test images of all domains are mixed. How often is the right domain chosen, and how many are
recognised, compared with an oracle that names the domain? For what is foreign each domain is left
out of the store in turn: near are those that are small grey images as others are, far the rest, and
noise, empty frames and textures that are drawn here. The larger store has parts of the domains, a
few classes each, which are much alike; there the part has to be the right one. Times are of
predicting the same images with the domain named and without, which take turns.
"""

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import domains
import numpy as np
import numpy.typing as npt
from PIL import Image
from result_rows import RESULTS, surroundings

from addapt.engines import open_engine
from addapt.engines.base import Engine
from addapt.learning import Learner, Recognition

FILE = RESULTS / "which_domain.json"
WORK = domains.IMAGES.parent / "which-domain"
NEAR = ("digits", "silhouettes", "fashion-mnist")
PARTS = 5  # of a domain with so many classes and more, of two with fewer none
DRAWN = 100
TIMED_IMAGES = 100
ROUNDS = 5
PX = 96

Pixels = npt.NDArray[np.uint8]
Row = dict[str, Any]


def noise(rng: np.random.Generator) -> Pixels:
    """Draw noise: coarse or fine, in colour or grey."""
    side, channels = rng.choice([8, 32, PX]), rng.choice([1, 3])
    values = rng.normal(rng.uniform(60, 190), rng.uniform(10, 80), (side, side, channels))
    pixels = np.clip(np.broadcast_to(values, (side, side, 3)), 0, 255).astype(np.uint8)
    return np.asarray(Image.fromarray(pixels).resize((PX, PX)))


def empty(rng: np.random.Generator) -> Pixels:
    """Draw a frame of one colour, or of one that changes slowly, with a camera's noise."""
    first, last = rng.uniform(0, 255, (2, 3))
    if rng.random() < 0.5:
        last = first
    share = np.linspace(0, 1, PX)[:, None, None]
    frame = first + share * (last - first) + rng.normal(0, 3, (PX, PX, 3))
    return np.asarray(np.clip(frame, 0, 255), np.uint8)


def texture(rng: np.random.Generator) -> Pixels:
    """Draw stripes, checks, or clouds, in two colours."""
    y, x = np.mgrid[:PX, :PX]
    turn, step = rng.uniform(0, np.pi), rng.uniform(0.1, 0.8)
    along = np.sin(step * (x * np.cos(turn) + y * np.sin(turn)))
    across = np.sin(step * (y * np.cos(turn) - x * np.sin(turn)))
    spectrum = np.hypot(np.fft.fftfreq(PX)[:, None], np.fft.fftfreq(PX)) + 1 / PX
    clouds = np.fft.ifft2(np.fft.fft2(rng.normal(size=(PX, PX))) / spectrum**1.5).real
    pattern = [along > 0, (along > 0) ^ (across > 0), clouds][rng.integers(3)].astype(float)
    pattern = (pattern - pattern.min()) / np.ptp(pattern)
    first, last = rng.uniform(0, 255, (2, 3))
    return np.asarray(first + pattern[..., None] * (last - first), np.uint8)


FOREIGN: dict[str, Callable[[np.random.Generator], Pixels]] = {
    "noise": noise,
    "empty": empty,
    "texture": texture,
}


def auroc(own: Sequence[float], foreign: Sequence[float]) -> float:
    """Return how probably a foreign image is farther than an own one; of equals, half of it."""
    ordered = np.sort(own)
    nearer = np.searchsorted(ordered, foreign, "left") + np.searchsorted(ordered, foreign, "right")
    return float(nearer.mean() / 2 / len(own))


def accepted_at_95(own: Sequence[float], foreign: Sequence[float]) -> float:
    """Return the share of foreign images accepted where 95 % of the own ones are."""
    return float((np.asarray(foreign) <= np.quantile(own, 0.95)).mean())


def parts_of(folder: Path, name: str, work: Path) -> dict[str, Path]:
    """Return folders of a few classes each, by the names of the domains to learn from them."""
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    if len(classes) < 2 * PARTS:
        return {name: folder}
    parts = {}
    for number in range(PARTS):
        part = work / f"{name}-{number}"
        for label in classes[number::PARTS]:
            shutil.copytree(label, part / label.name)
        parts[part.name] = part
    return parts


def learn(names: Sequence[str], engine: Engine) -> None:
    """Learn all domains, whole and in parts; those that are there already stay."""
    whole, parts = (Learner(engine, WORK / store) for store in ("whole", "parts"))
    for name in names:
        train = domains.domain_folders(name).train
        with tempfile.TemporaryDirectory() as work:
            todo = [(whole, name, train)]
            todo += [(parts, *part) for part in parts_of(train, name, Path(work)).items()]
            for learner, domain, folder in todo:
                if not learner.store.exists(domain):
                    report = learner.learn(domain, folder)
                    print(
                        f"{domain:20} {report.val_accuracy:.3f} {report.learn_s:.0f} s", flush=True
                    )


def test_images(name: str) -> list[Path]:
    return sorted(path for path in domains.domain_folders(name).test.glob("*/*"))


def farness(found: Sequence[Recognition]) -> list[float]:
    return [one.distance for one in found if one.distance is not None]


def measure_choice(learner: Learner, name: str, part_of: Callable[[Path], str]) -> Row:
    """Recognise the test images of a domain, told which it is and not."""
    images = test_images(name)
    found = learner.recognise(images)
    chosen = [one.nearest == part_of(path) for one, path in zip(found, images, strict=True)]
    right = [one.top[0][0] == path.parent.name for one, path in zip(found, images, strict=True)]
    oracle = []
    for domain in sorted(set(map(part_of, images))):
        own = [path for path in images if part_of(path) == domain]
        named = learner.predict(own, domain)
        oracle += [one.label == path.parent.name for one, path in zip(named, own, strict=True)]
    return {
        "domain": name,
        "images": len(images),
        "chosen": float(np.mean(chosen)),
        "accepted": float(np.mean([one.domain is not None for one in found])),
        "end_to_end": float(np.mean(np.array(chosen) & np.array(right))),
        "oracle": float(np.mean(oracle)),
    }


def measure_foreign(engine: Engine, names: Sequence[str]) -> list[Row]:
    """Leave each domain out of the store in turn, and show drawn images to all."""
    rng, rows = np.random.default_rng(0), list[Row]()
    asked: list[tuple[str, list[Any], str | None]] = [
        (name, test_images(name), name) for name in names
    ]
    asked += [(kind, [draw(rng) for _ in range(DRAWN)], None) for kind, draw in FOREIGN.items()]
    for kind, foreign, left_out in asked:
        with tempfile.TemporaryDirectory() as work:
            kept = [name for name in names if name != left_out]
            for name in kept:
                shutil.copy(WORK / "whole" / f"{name}.safetensors", work)
            learner = Learner(engine, work)
            own = [far for name in kept for far in farness(learner.recognise(test_images(name)))]
            far = farness(learner.recognise(foreign))
            rows.append(
                {
                    "foreign": kind,
                    "near": kind in NEAR,
                    "images": len(foreign),
                    "auroc": auroc(own, far),
                    "accepted_at_95": accepted_at_95(own, far),
                    "accepted": float((np.array(far) <= 1).mean()),
                }
            )
        print(rows[-1], flush=True)
    return rows


def measure_time(learner: Learner, name: str) -> Row:
    """Return the medians of seconds for the same images with the domain named and without."""
    images = test_images(name)[:TIMED_IMAGES]
    ways: dict[str, Callable[[], object]] = {
        "named": lambda: learner.predict(images, name),
        "not_named": lambda: learner.recognise(images),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for round_ in range(ROUNDS + 1):
        for way, work in ways.items():
            started = time.perf_counter()
            work()
            if round_:  # the first makes sessions
                seconds[way].append(time.perf_counter() - started)
    medians = {f"{way}_s": statistics.median(times) for way, times in seconds.items()}
    return {"domain": name, **medians, "ratio": medians["not_named_s"] / medians["named_s"]}


def measure(names: Sequence[str], engine: Engine) -> Row:
    """Measure all; the stores must have been learned."""
    whole, parts = (Learner(engine, WORK / store) for store in ("whole", "parts"))
    part_of_class = {
        (name.rsplit("-", 1)[0] if name not in names else name, label): name
        for name in parts.store.names()
        for label in parts.store.info(name).classes
    }

    def part_of(path: Path) -> str:
        return part_of_class[path.parts[-4], path.parent.name]

    return {
        "store": [measure_choice(whole, name, lambda path: path.parts[-4]) for name in names],
        "parts": [measure_choice(parts, name, part_of) for name in names],
        "foreign": measure_foreign(engine, names),
        "time": [measure_time(whole, name) for name in names],
        "domains": len(whole.store.names()),
        "part_domains": len(parts.store.names()),
    }


def table(result: Row) -> str:
    """Return the result as tables of Markdown."""
    lines = []
    for key, count in (("store", "domains"), ("parts", "part_domains")):
        lines += [
            f"| {result[count]} domains | chosen | accepted | end to end | oracle |",
            "|---|---:|---:|---:|---:|",
        ]
        rows = result[key]
        fields = ("chosen", "accepted", "end_to_end", "oracle")
        mean = {"domain": "mean"} | {f: float(np.mean([row[f] for row in rows])) for f in fields}
        for row in (*rows, mean):
            cells = " | ".join(f"{100 * row[field]:.1f}" for field in fields)
            lines.append(f"| {row['domain']} | {cells} |")
        lines.append("")
    lines += [
        "| foreign | kind | AUROC | accepted where 95 % are | accepted |",
        "|---|---|---:|---:|---:|",
    ]
    for row in result["foreign"]:
        kind = "near" if row["near"] else "far"
        shares = " | ".join(f"{100 * row[field]:.1f}" for field in ("accepted_at_95", "accepted"))
        lines.append(f"| {row['foreign']} | {kind} | {row['auroc']:.3f} | {shares} |")
    ratios = [row["ratio"] for row in result["time"]]
    lines += [
        "",
        f"Time: {min(ratios):.2f}x to {max(ratios):.2f}x of predicting with the domain named.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("learn", "measure", "table"))
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if options.what == "table":
        print(table(json.loads(FILE.read_text(encoding="utf-8"))))
        return
    names = domains.available_domains(list(domains.DOMAINS))
    engine = open_engine(engine="onnx")
    engine.threads = options.threads
    if options.what == "learn":
        learn(names, engine)
        return
    command = f"python benchmarks/which_domain.py measure --threads {options.threads}"
    result = {**measure(names, engine), **surroundings(command, threads=options.threads)}
    FILE.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(table(result))


if __name__ == "__main__":
    main()
