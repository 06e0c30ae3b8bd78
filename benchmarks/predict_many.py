"""What `addapt predict` takes for thousands of images, beside so many times one.

    python benchmarks/predict_many.py [--images 5000] [--threads 2]

Makes JPEGs of 640 x 480 in a temporary folder, and learns a domain at 224 px from a few of them.
Then one image, and all, go through the command in a process of its own: its peak of memory, the
seconds to its first line and to its last. That is compared with one image after another in a
running process, before and after. There decoding ahead of the network is timed, too, which the
product does not do. Writes `results/predict_many.json`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from addapt.bench.shell import PROGRAM, run_addapt
from addapt.bench.surroundings import machine, versions
from addapt.images.decode_many import decode_in_order
from addapt.learning import Learner
from addapt.learning.evaluation import EVALUATION_BATCH

RESULT = Path(__file__).parent / "results" / "predict_many.json"
SIZE = (640, 480)
PX = 224
DRAWN = 50  # the others are copies of these, as drawing takes longer than recognising
TIMED = 500  # of the images, in a running process


@dataclass
class Command:
    """What `addapt predict` took in a process of its own."""

    images: int
    first_line_s: float
    last_line_s: float
    process_bytes: int | None


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = draw(folder / "images", options.images)
        store = learn(folder, paths[:8])
        result = measure(folder / "images", paths, store, options.threads)
    result |= {
        "image_px": PX,
        "files": "JPEG, {} x {}".format(*SIZE),
        "threads": options.threads,
        "versions": versions(),
        "machine": machine(),
        "command": f"python benchmarks/predict_many.py --images {options.images} "
        f"--threads {options.threads}",
    }
    print(json.dumps(result, indent=2))
    RESULT.write_text(json.dumps(result, indent=2) + "\n")


def draw(folder: Path, count: int) -> list[Path]:
    """Write files that are as hard to decode as photographs: smooth colours with noise."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    paths = [folder / f"{i:05}.jpg" for i in range(count)]
    for i, path in enumerate(paths):
        if i >= DRAWN:
            path.write_bytes(paths[i % DRAWN].read_bytes())
            continue
        coarse = Image.fromarray(generator.integers(0, 256, (6, 8, 3), np.uint8))
        smooth = np.asarray(coarse.resize(SIZE, Image.Resampling.BICUBIC), np.float32)
        noisy = smooth + generator.normal(0, 8, smooth.shape)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path, quality=90)
    return paths


def learn(folder: Path, paths: Sequence[Path]) -> Path:
    """Learn a domain of two classes, whatever it will say; return the store."""
    for i, path in enumerate(paths):
        place = folder / "classes" / "ab"[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        (place / path.name).write_bytes(path.read_bytes())
    asked = {"store": folder / "store", "epochs": 1, "image-px": PX}
    ran = run_addapt(["learn", "x", str(folder / "classes")], asked)
    if ran.exit_code:
        raise SystemExit(ran.err)
    return folder / "store"


def measure(folder: Path, paths: Sequence[Path], store: Path, threads: int) -> dict[str, object]:
    words = ("--domain", "x", "--store", str(store), "--threads", str(threads), "--json")
    learner = Learner(store=store)
    learner.engine.threads = threads
    few = paths[:: max(1, len(paths) // TIMED)]
    learner.predict(few[:EVALUATION_BATCH], "x")  # the first makes what is kept
    run_command(paths[0], words)
    one = run_command(paths[0], words)
    singles = [seconds_each(lambda: one_by_one(learner, few), few)]
    many = run_command(folder, words)
    singles.append(seconds_each(lambda: one_by_one(learner, few), few))
    ways: dict[str, Callable[[], object]] = {
        "one by one": lambda: one_by_one(learner, few),
        "in turns, as the product": lambda: learner.predict(few, "x"),
        "decoding ahead": lambda: ahead(learner, few, threads),
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(3):
        for way, work in ways.items():
            times[way].append(seconds_each(work, few))
    single_s = sum(singles) / len(singles)
    extra_bytes = None
    if many.process_bytes is not None and one.process_bytes is not None:
        extra_bytes = many.process_bytes - one.process_bytes
    return {
        "one": asdict(one),
        "many": asdict(many),
        "single_s": single_s,
        "ratio_to_single_ones": many.last_line_s / (single_s * many.images),
        "extra_bytes": extra_bytes,
        "least_s_an_image": {way: min(seconds) for way, seconds in times.items()},
    }


def run_command(images: Path, words: Sequence[str]) -> Command:
    with tempfile.TemporaryDirectory() as name:
        told = Path(name) / "told"
        started, first_s, lines = time.perf_counter(), 0.0, 0
        command = [sys.executable, "-c", PROGRAM, str(told), "predict", str(images), *words]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout is not None
            for _ in process.stdout:
                first_s = first_s or time.perf_counter() - started
                lines += 1
            last_s = time.perf_counter() - started
        if process.returncode:
            raise SystemExit(f"predict {images} ended with {process.returncode}")
        return Command(lines, round(first_s, 3), round(last_s, 3), json.loads(told.read_text()))


def seconds_each(work: Callable[[], object], paths: Sequence[Path]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) / len(paths)


def one_by_one(learner: Learner, paths: Sequence[Path]) -> None:
    for path in paths:
        learner.predict([path], "x")


def ahead(learner: Learner, paths: Sequence[Path], threads: int) -> None:
    """Decode some images while others are computed."""
    _, model = learner.load("x")
    decoded = decode_in_order(paths, PX, Image.Resampling.BICUBIC, threads)
    pixels: Iterator[np.ndarray] = (found[0] for found in decoded if isinstance(found, tuple))
    while group := list(islice(pixels, EVALUATION_BATCH)):
        model.logits(np.stack(group))


if __name__ == "__main__":
    main()
