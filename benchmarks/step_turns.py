"""Memory and time of a training step at two commits, measured in turns in one run.

    git worktree add /tmp/old COMMIT
    python benchmarks/step_turns.py /tmp/old [--rounds 3]

Runs `addapt bench step` of both, one after the other and again, with the same Python and threads,
and compares the medians. Writes `results/step_turns.json`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from addapt.bench.surroundings import machine, versions

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "step_turns.json"
BACKBONES = ("efficientnet_lite0", "resnet50")
METHODS = "finetune,da3:smallest,da3:default"
NAMES = ("peak_bytes", "step_s")
RUN = "from addapt.cli.main import main; main()"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("old", type=Path, help="a checkout of the commit to compare with")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=8)
    options = parser.parse_args()
    rows = []
    for backbone in BACKBONES:
        found: dict[str, list[dict[str, Any]]] = {"old": [], "new": []}
        for _ in range(options.rounds):
            for which, checkout in (("old", options.old), ("new", ROOT)):
                found[which] += steps(checkout, backbone, options.batch)
        rows += compare(backbone, found)
        for row in rows[-3:]:
            print(row)
    result = {
        "rows": rows,
        "old": commit(options.old),
        "new": commit(ROOT),
        "rounds": options.rounds,
        "batch": options.batch,
        "threads": 2,
        "versions": versions(),
        "machine": machine(),
        "command": f"python benchmarks/step_turns.py OLD --rounds {options.rounds}",
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")


def steps(checkout: Path, backbone: str, batch: int) -> list[dict[str, Any]]:
    """Run `bench step` of a checkout; return its rows."""
    words = ("--backbone", backbone, "--methods", METHODS, "--batch", str(batch), "--json")
    done = subprocess.run(
        [sys.executable, "-c", RUN, "bench", "step", "--rounds", "3", *words],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(checkout / "src")},
        check=True,
    )
    rows: list[dict[str, Any]] = json.loads(done.stdout)["rows"]
    return rows


def compare(backbone: str, found: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return, for each method and setting, the medians of both and their ratio."""
    kinds = dict.fromkeys((row["method"], row["setting"]) for row in found["new"])
    rows = []
    for method, setting in kinds:
        row: dict[str, Any] = {"backbone": backbone, "method": method, "setting": setting}
        for name in NAMES:
            old, new = (
                statistics.median(
                    each[name]
                    for each in found[which]
                    if (each["method"], each["setting"]) == (method, setting)
                )
                for which in ("old", "new")
            )
            row |= {f"old_{name}": old, f"new_{name}": new, f"ratio_{name}": round(new / old, 3)}
        rows.append(row)
    return rows


def commit(checkout: Path) -> str:
    words = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
