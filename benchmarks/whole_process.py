"""The most that a whole process holds while it learns: what a device runs out of.

    python benchmarks/whole_process.py [--images 1000] [--threads 2] [--batches 8,32]

`addapt learn` on both engines, and fine-tuning in plain PyTorch (`plain_finetuning.py`), each on
the same drawn JPEG images of 224 px for one pass, one after the other; then ResNet-50 with random
weights on the engine without PyTorch. Graphs and trials are made before, in a cache of their own.
Each process tells its own peak (VmHWM): Python, libraries, weights, images, everything.
Writes `results/whole_process.json`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from drawn_images import write_images
from result_rows import RESULTS, ROOT, Row, commit
from trial import BACKBONE

from addapt.bench.remote import ALLOCATORS
from addapt.bench.shell import run_addapt
from addapt.bench.surroundings import machine, versions
from addapt.memory.allocator import Allocator

FILE = RESULTS / "whole_process.json"
CLASSES, PX = 10, 224
FINETUNE, DEVICE, TORCH = "finetune", "onnx", "torch"  # the latter two by the engine's name
LARGE = "resnet50"


@dataclass(frozen=True)
class Runs:
    """Runs on the same images, each with a store of its own in `folder`."""

    folder: Path
    threads: int
    px: int

    def learn(self, what: str, backbone: str, batch: int, *, images: str = "images") -> Row:
        """Run `addapt learn`; end with what it printed if it failed."""
        ran = run_addapt(
            ["learn", "x", str(self.folder / images)],
            {
                "store": self.folder / f"{what}-{backbone}-{batch}-{images}",
                "backbone": backbone,
                "batch": batch,
                "image-px": self.px,
                "epochs": 1,
                "threads": self.threads,
                "json": True,
                "engine": what,
            },
            {"ADDAPT_CACHE": str(self.folder / "cache")},
        )
        if ran.exit_code:
            raise SystemExit(f"addapt learn failed: {ran.err[-1000:]}")
        report = json.loads(ran.out)
        return {
            **row(what, backbone, batch, ran.process_bytes),
            "micro_batch": report["micro_batch"],
            "learn_s": report["learn_s"],
            "val_accuracy": report["val_accuracy"],
        }

    def finetune(self, backbone: str, batch: int) -> Row:
        """Run the plain loop, with the allocator that takes the least memory."""
        words = ["--backbone", backbone, "--batch", str(batch), "--image-px", str(self.px)]
        script = ROOT / "benchmarks" / "plain_finetuning.py"
        done = subprocess.run(
            [
                sys.executable,
                script,
                self.folder / "images",
                *words,
                "--threads",
                str(self.threads),
            ],
            stdout=subprocess.PIPE,
            env={**os.environ, **ALLOCATORS[Allocator.lean.value]},
            check=True,
        )
        told = json.loads(done.stdout)
        return {
            **row(FINETUNE, backbone, batch, told["process_bytes"]),
            "micro_batch": batch,
            "step_s": told["step_s"],
        }


def row(what: str, backbone: str, batch: int, process_bytes: int | None) -> Row:
    return {"what": what, "backbone": backbone, "batch": batch, "process_bytes": process_bytes}


def with_ratios(rows: list[Row]) -> list[Row]:
    """Add how many times less each takes than fine-tuning of that backbone and batch."""
    rivals = {
        (each["backbone"], each["batch"]): each["process_bytes"]
        for each in rows
        if each["what"] == FINETUNE
    }
    return [
        {**each, "ratio": round(rival / each["process_bytes"], 3) if rival else None}
        for each in rows
        for rival in [rivals.get((each["backbone"], each["batch"]))]
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--image-px", type=int, default=PX)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batches", default="8,32")
    parser.add_argument("--results", type=Path, default=FILE)
    options = parser.parse_args()
    batches = [int(word) for word in options.batches.split(",")]
    rows: list[Row] = []

    def note(found: Row) -> None:
        rows.append(found)
        print(json.dumps(found), flush=True)

    with tempfile.TemporaryDirectory(prefix="whole_process_") as name:
        runs = Runs(Path(name), options.threads, options.image_px)
        for images, a_class in (("images", options.images // CLASSES), ("few", 2)):
            folder = runs.folder / images
            write_images(folder, classes=CLASSES, a_class=a_class, px=options.image_px)
        for what in (DEVICE, TORCH):
            runs.learn(what, BACKBONE, CLASSES, images="few")
        runs.learn(DEVICE, LARGE, CLASSES, images="few")
        for batch in batches:
            for what in (DEVICE, TORCH):
                note(runs.learn(what, BACKBONE, batch))
            note(runs.finetune(BACKBONE, batch))
        note(runs.learn(DEVICE, LARGE, batches[0]))
    result = {
        "rows": with_ratios(rows),
        "images": options.images,
        "image_px": options.image_px,
        "threads": options.threads,
        "versions": versions(),
        "machine": machine(),
        "commit": commit(),
        "command": f"python benchmarks/whole_process.py --images {options.images} "
        f"--image-px {options.image_px} --threads {options.threads} --batches {options.batches}",
    }
    options.results.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
