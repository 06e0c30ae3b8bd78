"""A command of `addapt` from a cold shell: how long it takes, and the memory of its process."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from addapt.memory import process_peak_bytes

PROGRAM = "from addapt.bench.shell import main; main()"


@dataclass(frozen=True)
class Ran:
    """What a command took, in a process of its own.

    Args:
        wall_s: from the moment it was started to its end.
        cpu_s: of its process and those it started; None where the system does not tell.
        process_bytes: the most that its own process held; None where the system does not tell.
        exit_code: 0 if it succeeded.
        out, err: what it printed.
    """

    wall_s: float
    cpu_s: float | None
    process_bytes: int | None
    exit_code: int
    out: str
    err: str


def run_addapt(
    command: Sequence[str],
    options: Mapping[str, object] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Ran:
    """Run a command of `addapt` to its end.

    Args:
        command: its name and arguments.
        options: by their names; True for a flag.
        environment: is added to that of this process.
    """
    words = list(command)
    for name, value in (options or {}).items():
        words += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "told"
        before, started = os.times(), time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(told), *words],
            capture_output=True,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONSAFEPATH": "1", **(environment or {})},
            check=False,
        )
        wall_s, after = time.perf_counter() - started, os.times()
        process_bytes = json.loads(told.read_text()) if told.exists() else None
    cpu_s = sum(after[2:4]) - sum(before[2:4])  # of children that have ended
    return Ran(wall_s, cpu_s or None, process_bytes, done.returncode, done.stdout, done.stderr)


def main() -> None:
    """Run `addapt`, and write the peak of this process to the file that is named first.

    Who waits for the process cannot ask for it: Linux counts what a child shares with its parent
    before it begins, and what the child's own children held.
    """
    told = Path(sys.argv.pop(1))
    from addapt.cli.main import main as run

    try:
        run()
    finally:
        told.write_text(json.dumps(process_peak_bytes()))
