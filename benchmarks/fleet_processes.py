"""A real server and real devices on the loopback address, and the memory that each process takes.

Linux only: the most that a process has held is read from /proc again and again while it lives.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import domains
import fleet

from addapt._hosts import LOOPBACK
from addapt.fleet.processes import free_port

LOOK_EVERY_S = 0.1
# By words of their command lines, the first that fits.
KINDS = {
    "import run_client": "device: app",
    "import run_server": "server: app",
    "flower-supernode": "device: SuperNode",
    "flower-superlink": "server: SuperLink",
    "flower-superexec": "executor",
    "fleet join": "device: addapt fleet join",
    "fleet serve": "server: addapt fleet serve",
}
ADDAPT = "from addapt.cli.main import main; main()"


def measure(devices: int, image_px: int, rounds: int) -> dict[str, Any]:
    """Run a fleet that learns digits; return the most memory of each kind of process."""
    train = domains.domain_folders("digits").train
    address = f"{LOOPBACK}:{free_port()}"
    with tempfile.TemporaryDirectory() as work:
        folders = fleet.lay_out(fleet.split(train, "even", fleet.DEVICES, seed=0), Path(work))
        begun = time.perf_counter()
        running = [
            _start(
                *("fleet", "serve", "digits", "--rounds", str(rounds)),
                *("--min-devices", str(devices), "--image-px", str(image_px)),
                *("--port", address.rpartition(":")[2], "--store", f"{work}/server"),
                *("--round-timeout", "1h"),
            )
        ]
        for folder in folders[:devices]:
            join = ("fleet", "join", address, "digits", str(folder), "--threads", "1")
            running.append(_start(*join, "--store", f"{work}/{folder.name}-store"))
        peaks = _watch(running)
        wall_s = time.perf_counter() - begun
        failed = [process.returncode for process in running if process.returncode]
        shutil.rmtree(work, ignore_errors=True)
    return {
        "devices": devices,
        "image_px": image_px,
        "rounds": rounds,
        "images_a_device": len(list(train.rglob("*.*"))) // fleet.DEVICES,
        "peak_bytes": peaks,
        "wall_s": round(wall_s, 1),
        "failed": failed,
    }


def _start(*words: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", ADDAPT, *words], start_new_session=True)


def _watch(running: "Sequence[subprocess.Popen[bytes]]") -> dict[str, int]:
    """Wait until all have ended; return the most that one process of each kind has held."""
    peaks: dict[str, int] = {}
    while any(process.poll() is None for process in running):
        for kind, peak in _processes({process.pid for process in running}):
            peaks[kind] = max(peak, peaks.get(kind, 0))
        time.sleep(LOOK_EVERY_S)
    return peaks


def _processes(roots: set[int]) -> Iterator[tuple[str, int]]:
    """Yield kind and most bytes of these processes and all that they have started."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(path.name)] = int(fields[1])
    for process in parents:
        above = process
        while above not in roots and above in parents:
            above = parents[above]
        if above not in roots:
            continue
        try:
            words = Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            status = Path(f"/proc/{process}/status").read_text()
        except OSError:
            continue
        peak = next((line for line in status.splitlines() if line.startswith("VmHWM:")), None)
        kind = next((kind for word, kind in KINDS.items() if word in words), None)
        if peak is not None and kind is not None:
            yield kind, int(peak.split()[1]) * 1024
