"""How long the commands take that need no engine, and whether they load one.

    python benchmarks/start_up.py [--runs 7]

Each runs in a process of its own, on a store of one domain. Writes `results/start_up.json`.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from addapt.bench.surroundings import machine, versions
from addapt.domains import Store, read_domain

RESULT = Path(__file__).parent / "results" / "start_up.json"
GOLDEN = Path(__file__).parents[1] / "tests" / "domains" / "golden_schema_1.safetensors"
COMMANDS = (
    *(("--help",), ("methods",), ("backbones",), ("domains",), ("show", "b"), ("check",)),
    *(("rename", "a", "b"), ("remove", "a")),
)
RUN = """
import sys
from addapt.cli.main import main
try:
    main()
finally:
    assert not {"torch", "onnxruntime"} & set(sys.modules), "an engine was loaded"
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    rows = {"import addapt": median_s(("-c", "import addapt"), options.runs)}
    for words in COMMANDS:
        rows[" ".join(words)] = median_s(("-c", RUN, *words), options.runs)
    for name, seconds in rows.items():
        print(f"{seconds:.2f} s  {name}")
    result = {
        "seconds": rows,
        "runs": options.runs,
        "versions": versions(),
        "machine": machine(),
        "command": f"python benchmarks/start_up.py --runs {options.runs}",
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")


def median_s(words: tuple[str, ...], runs: int) -> float:
    """Return the median seconds of a process, the first one not counted."""
    seconds = []
    for _ in range(runs + 1):
        with tempfile.TemporaryDirectory() as folder:
            store = Store(Path(folder) / "domains")
            for name in ("a", "b")[: 1 if "rename" in words else 2]:
                store.save(name, *read_domain(GOLDEN))
            started = time.perf_counter()
            subprocess.run(
                [sys.executable, *words], cwd=folder, stdout=subprocess.DEVNULL, check=True
            )
            seconds.append(time.perf_counter() - started)
    return round(statistics.median(seconds[1:]), 3)


if __name__ == "__main__":
    main()
