"""What it costs, next to reading them, to check images while a domain is learned.

    python benchmarks/checks_cost.py [--images 1000] [--rounds 5] [--threads 1 2]

The images are JPEGs of 640 x 480, read to 224 px. Writes `results/checks_cost.json`.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from drawn_images import LABELS, draw

from addapt.bench.surroundings import machine, versions
from addapt.images import (
    Samples,
    SeenImages,
    find_value_range,
    load_images,
    scan_folder,
    split_validation,
)
from addapt.images.kept import Pixels
from addapt.learning.copies import sort_out_copies, warn_of_near_copies

RESULT = Path(__file__).parent / "results" / "checks_cost.json"
PX = 224
CLASSES = ("one", "two")


def measure(samples: Samples, threads: int) -> dict[str, float]:
    """Read images once as learning does; return the processors' seconds of it and of the checks.

    They are taken within one reading: the difference of a reading with checks and one without is
    lost in what two readings differ by.
    """
    noting_s = 0.0
    seen = SeenImages(len(samples))

    def note(number: int, pixels: Pixels, crc32: int) -> None:
        nonlocal noting_s
        begun_s = time.thread_time()
        seen.note(number, pixels, crc32)
        noting_s += time.thread_time() - begun_s

    times_s = [time.process_time()]
    value_range = find_value_range(samples, threads)
    times_s.append(time.process_time())
    images, _ = load_images(
        samples,
        PX,
        "bicubic",
        cache_bytes=0,
        threads=threads,
        value_range=value_range,
        on_image=note,
    )
    times_s.append(time.process_time())
    found = sort_out_copies(images, len(samples), CLASSES, seen)
    in_val = split_validation(found.images.samples, 0.1, 0, found.groups)
    train, val = (found.images.select(np.flatnonzero(part)) for part in (~in_val, in_val))
    warn_of_near_copies(samples, train, val, seen)
    times_s.append(time.process_time())
    range_s, reading_s, comparing_s = np.diff(times_s)
    return {
        "reading_s": reading_s - noting_s,
        "range_s": range_s,
        "copies_s": noting_s + comparing_s,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), options.images)
        samples = scan_folder(Path(folder)).samples
        rows = [
            {
                "threads": threads,
                **medians([measure(samples, threads) for _ in range(options.rounds)]),
            }
            for threads in options.threads
        ]
    for row in rows:
        shares = {name: row[name] / row["reading_s"] for name in ("range_s", "copies_s")}
        print(
            f"{row['threads']} threads: reading {row['reading_s']:.2f} s of processors, copies "
            f"{shares['copies_s']:.2%} of it, range of deep images {shares['range_s']:.2%}"
        )
    words = f"--images {options.images} --rounds {options.rounds}"
    threads = " ".join(map(str, options.threads))
    result = {
        "rows": rows,
        "versions": versions(),
        "machine": machine(),
        "command": f"python benchmarks/checks_cost.py {words} --threads {threads}",
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")


def write(folder: Path, images: int) -> None:
    generator = np.random.default_rng(0)
    for number in range(images):
        path = folder / CLASSES[number % 2] / f"{number:05}.jpg"
        path.parent.mkdir(exist_ok=True)
        image = draw(LABELS[number % 2], 640, generator).crop((0, 80, 640, 560))
        image.save(path, quality=90)


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(r[name] for r in rounds), 4) for name in rounds[0]}


if __name__ == "__main__":
    main()
