"""The main job in a group of 128 MB: `scripts/small_machine` makes its Pythons and calls this.

    python benchmarks/small_machine.py --plain PYTHON --full PYTHON [--limit-mb 128] [--threads 2]

Learns 1,000 drawn images of 224 px in batches of 32, once in a group without a limit, which only
counts, and once in one with it: the domains must be the same. Then it recognises in the small
group, and fine-tunes in both, and in one of 1 GB. PLAIN has what `pip install .` brings, FULL the
PyTorch library, too. Each run begins with none of its files in memory. Writes
`results/small_machine.json`.
"""

import argparse
import dataclasses
import json
import math
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from drawn_images import write_images
from installed import RUN, environment, versions
from memory_group import NoGroupError, find_parent, memory_group
from result_rows import RESULTS, commit

from addapt.bench.surroundings import machine
from addapt.domains import read_domain

RESULT = RESULTS / "small_machine.json"
IMAGES, CLASSES, PX, BATCH = 1000, 10, 224, 32
RECOGNISED = 20
LARGER_LIMIT_BYTES = 10**9  # where fine-tuning has room for its libraries, and not for its maps
PATIENCE = 4  # times as long as without a limit
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--plain", type=Path, required=True, help="a Python with addapt alone")
    parser.add_argument("--full", type=Path, required=True, help="a Python with addapt[torch]")
    parser.add_argument("--limit-mb", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    try:
        _, group_version = find_parent(Path("/"))
        with tempfile.TemporaryDirectory(prefix="small_machine_") as name:
            runs = Runs(Path(name), options.limit_mb * 10**6, options.threads)
            result = runs.make(options.plain.absolute(), options.full.absolute())
    except NoGroupError as error:
        raise SystemExit(f"small_machine: {error}.") from None
    command = f"scripts/small_machine --limit-mb {options.limit_mb} --threads {options.threads}"
    result |= {
        "cgroup_version": group_version,
        "versions": {"plain": versions(options.plain), "full": versions(options.full)},
        "machine": machine(),
        "commit": commit(),
        "command": command,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    failed = failures(result)
    if failed:
        raise SystemExit(f"small_machine: {'; '.join(failed)}.")


class Runs:
    """Images in a folder, and runs of the product on them, each with a store of its own."""

    def __init__(self, folder: Path, limit_bytes: int, threads: int) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes
        self.threads = threads
        self.rows: list[Row] = []
        write_images(folder / "images", classes=CLASSES, a_class=IMAGES // CLASSES, px=PX)
        each = RECOGNISED // CLASSES
        self.unseen = write_images(folder / "unseen", classes=CLASSES, a_class=each, px=PX, seed=1)

    def make(self, plain: Path, full: Path) -> Row:
        """Make all runs, and return what they came to."""
        learned = [self.learn(plain, "da3", limit) for limit in (None, self.limit_bytes)]
        words = (*self.unseen, "--domain", "x", "--store", learned[0], "--threads", self.threads)
        self.run(plain, "recognise", self.limit_bytes, "predict", *words)
        for limit in (None, self.limit_bytes, LARGER_LIMIT_BYTES):
            self.learn(full, "finetune", limit)
        return {
            "limit_bytes": self.limit_bytes,
            "images": {"number": IMAGES, "classes": CLASSES, "px": PX, "batch": BATCH},
            "recognised": RECOGNISED,
            "threads": self.threads,
            "rows": self.rows,
            "difference": difference(*(store / "x.safetensors" for store in learned)),
        }

    def learn(self, python: Path, method: str, limit_bytes: int | None) -> Path:
        """Learn a domain x, and return its store."""
        store = self.folder / f"store-{len(self.rows)}"
        words = (
            *("learn", "x", "images", "--store", store, "--method", method, "--epochs", 1),
            *("--image-px", PX, "--batch", BATCH, "--threads", self.threads, "--json"),
        )
        self.run(python, method, limit_bytes, *words)
        return store

    def run(self, python: Path, what: str, limit_bytes: int | None, *words: object) -> None:
        """Run a command in a group of its own, and add a row."""
        forget(python.parents[1])
        forget(self.folder / "images")
        env = environment(self.folder / f"cache-{len(self.rows)}")
        with memory_group(limit_bytes) as group:
            patience_s = PATIENCE * max(
                (row["seconds"] for row in self.rows if row["what"] == what), default=math.inf
            )
            command = [str(python), "-c", RUN, *map(str, words)]
            outcome = group.run(command, self.folder, env, patience_s)
        row = dataclasses.asdict(outcome)
        said = row.pop("stdout"), row.pop("stderr")
        if outcome.exit_code:
            row["said"] = " ".join(said)[-500:].strip()
        self.rows.append({"what": what, "limit_bytes": limit_bytes, **row})
        print(json.dumps(self.rows[-1]), flush=True)


def forget(folder: Path) -> None:
    """Drop a folder's files from the page cache, so that who reads them next is charged."""
    os.sync()  # what is not yet on the disk cannot be dropped
    for path in folder.rglob("*"):
        if path.is_file():
            file = os.open(path, os.O_RDONLY)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(file)


def difference(one: Path, other: Path) -> Row | None:
    """Name what differs between two domains, None if one is missing."""
    if not (one.exists() and other.exists()):
        return None
    (info, tensors), (other_info, other_tensors) = map(read_domain, (one, other))
    return {
        "tensors": len(tensors),
        "bytes": sum(tensor.nbytes for tensor in tensors.values()),
        "different_tensors": [
            name
            for name in sorted(tensors.keys() | other_tensors.keys())
            if name not in tensors
            or name not in other_tensors
            or tensors[name].tobytes() != other_tensors[name].tobytes()
        ],
        "different_fields": [
            field.name
            for field in dataclasses.fields(info)
            if getattr(info, field.name) != getattr(other_info, field.name)
        ],
    }


def failures(result: Row) -> list[str]:
    """Say which of the things that a small machine is promised did not come true."""
    found = []
    for row in result["rows"]:
        limited = row["limit_bytes"] is not None
        if limited and row["what"] == "finetune":
            if not (row["killed"] or row["given_up"]):
                found.append("fine-tuning was not killed")
        elif row["exit_code"]:
            where = "the group" if limited else "a group without limit"
            found.append(f"{row['what']} failed in {where}: {row['said']}")
    different = result["difference"]
    if different is None:
        found.append("there are no two domains to compare")
    elif different["different_tensors"] or set(different["different_fields"]) - {"date"}:
        found.append("the domain learned in the group is another one")
    return found


if __name__ == "__main__":
    main()
