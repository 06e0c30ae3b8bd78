"""How near `addapt plan` comes to what `addapt learn` then takes, and how long it needs.

    python benchmarks/plan_accuracy.py [--threads 2] [--restart] [--only PART]

Every combination runs both commands in processes of their own, with an empty cache: the most that
the whole process of `learn --budget` held is compared with the row of `plan`, the images that are
kept decoded included. Writes `results/plan_accuracy.json` after each combination and goes on there
when started again.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from addapt.bench.surroundings import machine, versions

RESULT = Path(__file__).parent / "results" / "plan_accuracy.json"
BUDGET = "8GB"
CLASSES, IMAGES_A_CLASS = 2, 24
LITE0, LITE1, LITE2 = "efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"
MOBILE = "mobilenet_v2"
# Backbone, method, batch, micro-batch, image_px.
COMBINATIONS = [
    (LITE0, "da3", 16, 8, 224),
    (LITE0, "da3", 16, 1, 224),
    (LITE0, "da3", 16, 8, 96),
    (LITE0, "head", 16, 16, 224),
    (LITE0, "bias", 8, 4, 160),
    (LITE0, "finetune", 16, 16, 128),
    (LITE0, "lora", 8, 2, 224),
    (LITE0, "piggyback", 8, 8, 96),
    (LITE1, "da3", 16, 4, 240),
    (LITE2, "tinytl", 8, 2, 192),
    (MOBILE, "da3", 32, 8, 160),
    (MOBILE, "repnet", 16, 4, 128),
    (MOBILE, "finetune_frozen_bn", 8, 2, 224),
    ("resnet18", "da3", 16, 16, 128),
    ("resnet18", "parallel_adapter", 8, 2, 160),
    ("resnet18", "finetune", 8, 8, 224),
    ("resnet26", "series_adapter", 8, 4, 128),
    ("resnet50", "da3", 8, 1, 224),
    ("resnet50", "da3", 16, 8, 128),
    ("resnet50", "norm", 4, 2, 160),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--restart", action="store_true", help="measure everything anew")
    parser.add_argument("--only", default="", help="combinations whose words contain this")
    options = parser.parse_args()
    known = [] if options.restart or not RESULT.exists() else json.loads(RESULT.read_text())["rows"]
    rows = {tuple(row["combination"]): row for row in known}
    for combination in COMBINATIONS:
        if combination in rows or options.only not in " ".join(map(str, combination)):
            continue
        row = rows[combination] = compare(combination, options.threads)
        print(
            " ".join(map(str, combination)), f"{row['error']:+.1%}, {row['plan_s']} s", flush=True
        )
        kept = [rows[each] for each in COMBINATIONS if each in rows]
        RESULT.write_text(json.dumps(result(kept, options.threads), indent=2) + "\n")


def compare(combination: tuple[str, str, int, int, int], threads: int) -> dict[str, Any]:
    """Run `plan`, then `learn`."""
    backbone, method, batch, micro_batch, image_px = combination
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_images(folder / "images", image_px)
        common = (
            *("--backbone", backbone, "--method", method, "--batch", batch),
            *("--image-px", image_px, "--threads", threads, "--json"),
        )
        started = time.perf_counter()
        planned = addapt(folder, "plan", "--classes", CLASSES, *common)
        plan_s = time.perf_counter() - started
        (row,) = (row for row in planned["rows"] if row["micro_batch"] == micro_batch)
        learned = addapt(
            folder,
            *("learn", "x", folder / "images", "--store", folder / "store", "--epochs", 3),
            # Several epochs, saved every second: a short run does what a longer one does.
            *("--micro-batch", micro_batch, "--budget", BUDGET, "--save-every", 1),
            *common,
        )
    images_bytes = CLASSES * IMAGES_A_CLASS * 3 * image_px**2
    said, taken = row["process_bytes"] + images_bytes, learned["process_peak_bytes"]
    return {
        "combination": list(combination),
        "planned_bytes": said,
        "learned_bytes": taken,
        "error": round(said / taken - 1, 4),
        "plan_s": round(plan_s, 1),
    }


def addapt(folder: Path, *words: object) -> Any:
    """Run a command with a cache of its own; return what it printed as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", "from addapt.cli.main import main; main()", *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, "ADDAPT_CACHE": str(folder / "cache")},
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, words))}\n{done.stderr}")
    return json.loads(done.stdout)


def write_images(folder: Path, px: int) -> None:
    """Write noise as class folders."""
    generator = np.random.default_rng(0)
    for label in range(CLASSES):
        (folder / str(label)).mkdir(parents=True)
        for i in range(IMAGES_A_CLASS):
            pixels = generator.integers(0, 256, (px, px, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / str(label) / f"{i}.jpg")


def result(rows: list[dict[str, Any]], threads: int) -> dict[str, Any]:
    """Return what is committed."""
    return {
        "rows": rows,
        "largest_error": max(abs(row["error"]) for row in rows),
        "longest_plan_s": max(row["plan_s"] for row in rows),
        "threads": threads,
        "versions": versions(),
        "machine": machine(),
        "command": f"python benchmarks/plan_accuracy.py --threads {threads}",
    }


if __name__ == "__main__":
    main()
