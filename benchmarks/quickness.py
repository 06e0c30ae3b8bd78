"""How quickly the small things answer: help, listing, loading a domain, switching domains.

    python benchmarks/quickness.py [--threads 2]

Writes `results/quickness.json`. Times are medians of wall-clock seconds or milliseconds.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import addapt

RESULT = Path(__file__).parent / "results" / "quickness.json"
REPEATS = 15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    torch.set_num_threads(parser.parse_args().threads)
    backbone = addapt.load_backbone("efficientnet_lite0")
    with tempfile.TemporaryDirectory() as folder:
        learner = addapt.Learner(backbone, folder)
        file_bytes = [_learn_domain(learner, name) for name in ("one", "two")]
        learner.load("one")
        turns = iter(range(10_000))
        switch_s = _median(lambda: learner.load(("one", "two")[next(turns) % 2]))
    backbone_bytes = sum(p.numel() * p.element_size() for p in backbone.parameters())
    result = {
        "help_s": round(_median(lambda: _command("--help")), 3),
        "domains_s": round(_median(lambda: _command("domains")), 3),
        "switch_ms": round(1e3 * switch_s, 1),
        "file_share_of_backbone_10_classes": round(file_bytes[0] / backbone_bytes, 4),
        "threads": torch.get_num_threads(),
        "repeats": REPEATS,
        "command": " ".join(["python", *sys.argv]),
        "versions": {
            "addapt": version("addapt"),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(RESULT.read_text())


def _learn_domain(learner: addapt.Learner, name: str) -> int:
    """Learn a domain of ten classes from noise, since what is learned changes no time here."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for k in range(10):
            (Path(folder) / f"class{k}").mkdir()
            for i in range(2):
                image = Image.fromarray(rng.integers(0, 255, (96, 96, 3), dtype=np.uint8))
                image.save(Path(folder) / f"class{k}" / f"{i}.png")
        return learner.learn(name, folder, epochs=1).file_bytes


def _command(*words: str) -> None:
    code = "from addapt.cli.main import main; main()"
    subprocess.run([sys.executable, "-c", code, *words], check=True, capture_output=True)


def _median(work: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


if __name__ == "__main__":
    main()
