"""What a process holds after each stage of `addapt learn`, on both engines.

    python benchmarks/where_memory_goes.py [--threads 2]

Each engine has a process of its own, which goes through the stages of `memory_stages.py` and reads
what the system counts after each: memory of its own, and pages of files (code of libraries, mapped
weights), which the system can take back. Freed memory is given back at once, on both sides.
Writes `results/where_memory_goes.json`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from drawn_images import write_images
from memory_stages import BATCH, CLASSES, PX, Stage
from result_rows import RESULTS, ROOT, commit

from addapt.bench.remote import ALLOCATORS
from addapt.bench.surroundings import machine, versions
from addapt.memory.allocator import Allocator

FILE = RESULTS / "where_memory_goes.json"
ENGINES = ("onnx", "torch")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="where_memory_goes_") as name:
        folder = Path(name) / "images"
        write_images(folder, classes=CLASSES, a_class=2, px=PX)
        for _ in range(2):  # graphs are made in the first round
            stages = {engine: run(engine, folder, options.threads) for engine in ENGINES}
    result = {
        "stages": stages,
        "batch": BATCH,
        "image_px": PX,
        "threads": options.threads,
        "versions": versions(),
        "machine": machine(),
        "commit": commit(),
        "command": f"python benchmarks/where_memory_goes.py --threads {options.threads}",
    }
    FILE.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for engine, found in stages.items():
        print(f"{engine}: MB held, of its own, at most since the last stage")
        for stage in found:
            sizes = (stage["bytes"], stage["own_bytes"], stage["peak_bytes"])
            print("  ", *(f"{int(size) / 1e6:7.1f}" for size in sizes), stage["stage"])


def run(engine: str, folder: Path, threads: int) -> list[Stage]:
    """Go through the stages in a process of its own."""
    script = ROOT / "benchmarks" / "memory_stages.py"
    done = subprocess.run(
        [sys.executable, script, engine, folder, str(threads)],
        stdout=subprocess.PIPE,
        env={**os.environ, **ALLOCATORS[Allocator.lean.value]},
        check=True,
    )
    found: list[Stage] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    main()
