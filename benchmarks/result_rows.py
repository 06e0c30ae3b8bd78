"""Files of results: one JSON object a line, appended run by run, never rewritten."""

import argparse
import json
import shlex
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from addapt.bench.surroundings import machine, versions

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"

Row = dict[str, Any]


def read_rows(path: Path) -> list[Row]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def append_row(path: Path, row: Row) -> None:
    """Write one line at once, so that several processes may share a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def make_rows(file: Path, todo: Sequence[tuple[str, str, Callable[[], Row]]], total: int) -> None:
    """Make rows and append them: each of a method, which is shown in these words."""
    print(f"{len(todo)} of {total} runs to make", flush=True)
    for done, (_, words, make) in enumerate(todo, 1):
        row = make()
        append_row(file, row)
        left = minutes_left([method for method, _, _ in todo[done:]], read_rows(file))
        print(
            f"{done}/{len(todo)} {words} {accuracy_of(row)}  {row['wall_s']:.0f} s, left: {left}",
            flush=True,
        )


def accuracy_of(row: Row | None) -> str:
    if row is None:
        return "not run here"
    return "diverged" if row["accuracy"] is None else f"{row['accuracy']:.3f}"


def latest(rows: Sequence[Row], *names: str) -> dict[tuple[Any, ...], Row]:
    """Return the last row of each combination of these fields: a run done anew replaces its row."""
    return {tuple(row[name] for name in names): row for row in rows}


def surroundings(command: str, device: str = "cpu", threads: int | None = None) -> Row:
    """Return what belongs to every published number; `threads` are by default PyTorch's."""
    on_cuda = torch.device(device).type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if on_cuda else device,
        "threads": threads or torch.get_num_threads(),
        "versions": versions(),
        "machine": machine(),
        "commit": commit(),
        "command": command,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def commit() -> str | None:
    """Name the commit of the source, with a "+" if the source was changed since."""
    try:
        head = _git("rev-parse", "--short", "HEAD")
        changed = _git(
            "status", "--porcelain", "--untracked-files=all", "--", "src", "benchmarks/*.py"
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+" if changed else "")


def same(left: Any, right: Any) -> bool:
    """Compare as JSON sees it, which knows no tuples."""
    return bool(json.loads(json.dumps(left)) == json.loads(json.dumps(right)))


def minutes_left(methods: Sequence[str], rows: Sequence[Row]) -> str:
    """Guess how long runs of these methods will take, from rows that have "wall_s"."""
    if not rows:
        return "?"
    of_method: dict[str, list[float]] = {}
    for row in rows:
        of_method.setdefault(row["method"], []).append(row["wall_s"])
    overall = statistics.mean(row["wall_s"] for row in rows)
    seconds = sum(
        statistics.mean(of_method[method]) if method in of_method else overall for method in methods
    )
    return f"{seconds / 60:.0f} min"


def spell_command(script: str, *words: str, device: str) -> str:
    """Spell out how to get one row, and no other."""
    words = ("python", f"benchmarks/{script}.py", *words, "--threads", str(torch.get_num_threads()))
    return shlex.join(words if device == "cpu" else (*words, "--device", device))


def parse_share(text: str) -> tuple[int, int]:
    """Read "1/2": every second run, beginning with the first."""
    number, _, of = text.partition("/")
    try:
        place, shares = int(number) - 1, int(of)
    except ValueError:
        place, shares = -1, 0
    if not 0 <= place < shares:
        raise argparse.ArgumentTypeError(f"{text!r} is no share: write 1/2 and 2/2, for example")
    return place, shares


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def add_run_options(parser: argparse.ArgumentParser, threads: int = 2) -> None:
    """Add what tuning and accuracy have in common."""
    parser.add_argument("--threads", type=int, default=threads)
    parser.add_argument("--device", default="cpu", help='"cpu" or "cuda"')
    parser.add_argument(
        "--share",
        type=parse_share,
        default="1/1",
        metavar="K/N",
        help="every Nth run, from the Kth on: for N processes at once",
    )
