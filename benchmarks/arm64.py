"""The product on emulated 64-bit ARM beside this machine: `scripts/arm64` prepares and calls this.

    python benchmarks/arm64.py --native PYTHON --emulated PYTHON --emulator WORDS

Both learn the same tiny folder of drawn images with the same versions, and both recognise new
images with both domains. Writes `results/arm64.json`. Seconds under emulation say nothing about a
board.
"""

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from drawn_images import write_images
from installed import RUN, environment, versions
from numpy.typing import NDArray
from result_rows import RESULTS, commit

from addapt.bench.surroundings import machine
from addapt.domains import read_domain

RESULT = RESULTS / "arm64.json"
CLASSES, LEARNED, UNSEEN, DRAWN_PX, PX = 3, 20, 5, 48, 64  # LEARNED, UNSEEN: of each class
SIDES = ("native", "emulated")
Row = dict[str, Any]
# Of each image: the most probable class, and the probabilities of all.
Answers = list[tuple[str, dict[str, float]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--native", type=Path, required=True, help="a Python of this machine")
    parser.add_argument("--emulated", type=Path, required=True, help="a Python for 64-bit ARM")
    parser.add_argument("--emulator", required=True, help="its name and version, to be noted")
    options = parser.parse_args()
    pythons = dict(zip(SIDES, (options.native, options.emulated), strict=True))
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="arm64_") as name:
        result = measure(Path(name), pythons)
    result |= {
        "images": {"classes": CLASSES, "of_each": LEARNED, "drawn_px": DRAWN_PX, "px": PX},
        "seconds": round(time.perf_counter() - started),
        "emulator": options.emulator,
        "versions": {side: versions(python) for side, python in pythons.items()},
        "machine": machine(),
        "commit": commit(),
        "command": "scripts/arm64",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }
    text = json.dumps(result, indent=2)
    RESULT.write_text(text + "\n", encoding="utf-8")
    print(text)
    if not all(row["same_classes"] for row in result["recognised"]):
        raise SystemExit("arm64: an image was taken for something else there.")


def measure(folder: Path, pythons: Mapping[str, Path]) -> Row:
    """Learn on both sides, then recognise on both with both domains."""
    write_images(folder / "images", classes=CLASSES, a_class=LEARNED, px=DRAWN_PX, suffix=".png")
    unseen = write_images(
        folder / "unseen", classes=CLASSES, a_class=UNSEEN, px=DRAWN_PX, suffix=".png", seed=1
    )
    sides = {side: Side(folder, side, python) for side, python in pythons.items()}
    for side in sides.values():
        side.learn()
    answers = {
        (there, learned): side.recognise(unseen, learned)
        for there, side in sides.items()
        for learned in SIDES
    }
    native, emulated = SIDES
    pairs = {learned: [(side, learned) for side in SIDES] for learned in SIDES}
    pairs["each its own"] = [(side, side) for side in SIDES]
    return {
        **{name: side.row for name, side in sides.items()},
        "domains": domain_difference(*(sides[side].domain for side in (native, emulated))),
        "recognised": [
            {"learned": learned, **answer_difference(answers[one], answers[other])}
            for learned, (one, other) in pairs.items()
        ],
        "right": {
            side: sum(
                label == image.parent.name
                for image, (label, _) in zip(unseen, answers[side, side], strict=True)
            )
            for side in SIDES
        },
        "unseen": len(unseen),
    }


class Side:
    """A machine, real or emulated: its commands run in a folder that all sides share."""

    def __init__(self, folder: Path, name: str, python: Path) -> None:
        self.folder, self.name, self.python = folder, name, python.absolute()
        self.domain = folder / "domains" / f"{name}.safetensors"
        self.row: Row = {"recognise_s": {}, "warnings": []}

    def learn(self) -> None:
        """Learn a domain that is called like this side."""
        words = ("learn", self.name, "images", "--epochs", 1, "--image-px", PX, "--threads", 1)
        (report,), self.row["learn_s"] = self._addapt(*words)
        self.row["val_accuracy"] = report["val_accuracy"]

    def recognise(self, images: list[Path], domain: str) -> Answers:
        """Recognise images with a domain of either side."""
        words = ("predict", *images, "--domain", domain, "--top", CLASSES, "--threads", 1)
        found, self.row["recognise_s"][domain] = self._addapt(*words)
        return [
            (image["label"], {each["label"]: each["probability"] for each in image["top"]})
            for image in found
        ]

    def _addapt(self, *words: object) -> tuple[list[Any], float]:
        """Run a command; return the JSON of each line it printed, and the seconds it took."""
        started = time.perf_counter()
        done = subprocess.run(
            [self.python, "-c", RUN, *map(str, words), "--json"],
            cwd=self.folder,
            env=environment(self.folder / f"cache-{self.name}"),
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = round(time.perf_counter() - started, 1)
        if done.returncode:
            raise SystemExit(f"arm64: {self.name}, {words[0]}: {done.stderr[-2000:]}")
        self.row["warnings"] = sorted({*self.row["warnings"], *warnings_in(done.stderr)})
        print(f"{seconds:7.1f} s  {self.name}: {words[0]}", flush=True)
        return [json.loads(line) for line in done.stdout.splitlines()], seconds


def warnings_in(text: str) -> list[str]:
    """Return what libraries warn of on standard error, without what the product itself says."""
    return [line.strip() for line in text.splitlines() if "warn" in line.lower()]


def domain_difference(one: Path, other: Path) -> Row:
    """Compare two domains: the largest difference, as a share of the tensor's largest element."""
    (info, tensors), (other_info, others) = read_domain(one), read_domain(other)
    if tensors.keys() != others.keys():
        raise SystemExit("arm64: the two domains do not have the same tensors.")
    shares = {name: share(tensors[name], others[name]) for name in tensors}
    most = max(shares, key=lambda name: shares[name])
    return {
        "tensors": len(tensors),
        "largest_difference": shares[most],
        "of": most,
        "different_fields": [
            field.name
            for field in fields(info)
            if getattr(info, field.name) != getattr(other_info, field.name)
        ],
    }


def share(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Return the largest difference, divided by the largest element of `one`."""
    difference = float(np.abs(one - other).max())
    return difference / float(np.abs(one).max()) if difference else 0.0


def answer_difference(answers: Answers, others: Answers) -> Row:
    """Compare what two say of the same images."""
    pairs = list(zip(answers, others, strict=True))
    return {
        "same_classes": all(label == other_label for (label, _), (other_label, _) in pairs),
        "largest_difference": max(
            abs(probability - other_found[label])
            for (_, found), (_, other_found) in pairs
            for label, probability in found.items()
        ),
    }


if __name__ == "__main__":
    main()
