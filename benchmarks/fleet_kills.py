"""A real server and real devices on the loopback address, two of which are killed at random times.

One is a device, which does not come back; the other is the server, which is started again by the
same command. Killed means with all that they have started, and without a warning. Linux only.
"""

import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from os import kill
from pathlib import Path
from typing import Any

import domains
from fleet_demo import ADDAPT, END, lay_out, start

from addapt._hosts import LOOPBACK
from addapt.fleet.processes import free_port

ROUNDS, IMAGE_PX = 3, 64
LATEST_S = 40.0  # after the beginning of learning, for both
PATIENCE_S = 900.0
AGAIN_S = 2.0  # until the port is free again


def run_with_kills(seed: int) -> dict[str, Any]:
    """Run a fleet of four devices; return who was killed when, and what was left of it."""
    chance = random.Random(seed)
    port = free_port()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        work = Path(folder)
        folders = lay_out(domains.domain_folders("digits").train, work)
        place = ("serve", "digits", "--port", port, "--store", work / "server")
        how = ("--rounds", ROUNDS, "--image-px", IMAGE_PX, "--min-devices", 1)
        server = Told(start(*place, *how))
        devices = [
            start(
                *("join", f"{LOOPBACK}:{port}", "digits", own, "--fetch", "--threads", 1),
                *("--store", work / f"{own.name}-store"),
            )
            for own in folders
        ]
        begun = time.monotonic()
        try:
            server.wait_for("Learning ")
            killed = chance.randrange(len(devices))
            times_s = {"device": chance.uniform(0, LATEST_S), "server": chance.uniform(0, LATEST_S)}
            learning = time.monotonic()
            rounds = {}
            for what in sorted(times_s, key=times_s.__getitem__):
                time.sleep(max(0.0, learning + times_s[what] - time.monotonic()))
                rounds[what] = server.rounds
                if what == "device":
                    kill_all(devices[killed])
                    continue
                kill_all(server.process)
                time.sleep(AGAIN_S)
                server = Told(start(*place, *how))
            server.wait()
            left = [device for device in devices if device is not devices[killed]]
            for device in left:
                device.communicate(timeout=PATIENCE_S)
        finally:
            for process in (server.process, *devices):
                kill_all(process)
                process.wait()
        stores = [work / "server", *(work / f"{own.name}-store" for own in folders)]
        return {
            "seed": seed,
            "devices": len(devices),
            "rounds": ROUNDS,
            "image_px": IMAGE_PX,
            "killed_s": {what: round(at, 1) for what, at in times_s.items()},
            "rounds_before": rounds,
            "exit_codes": [process.returncode for process in (server.process, *left)],
            "domains": sum((store / "digits.safetensors").exists() for store in stores),
            "stores_harmed": sum(is_harmed(store) for store in stores if store.exists()),
            "accuracy": server.accuracy,
            "wall_s": round(time.monotonic() - begun, 1),
        }


class Told:
    """A server, and what it has said so far."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self._lines: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            print(line, end="", flush=True)
            self._lines.append(line)

    @property
    def rounds(self) -> int:
        """How many rounds it has seen."""
        return sum(line.startswith("Round ") for line in self._lines)

    @property
    def accuracy(self) -> float | None:
        """That in the end, as it has said it."""
        end = END.search("".join(self._lines))
        return round(float(end[1]) / 100, 3) if end else None

    def wait_for(self, words: str) -> None:
        """Wait until it has said this."""
        until = time.monotonic() + PATIENCE_S
        while not any(words in line for line in self._lines):
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"The server did not say {words!r}.")
            time.sleep(0.1)

    def wait(self) -> None:
        """Wait until it has ended."""
        self.process.wait(PATIENCE_S)


def is_harmed(store: Path) -> bool:
    """Tell whether `addapt check` finds a domain that cannot be used."""
    words = ["check", "--store", str(store)]
    done = subprocess.run([sys.executable, "-c", ADDAPT, *words], capture_output=True, check=False)
    return done.returncode != 0


def kill_all(process: "subprocess.Popen[str]") -> None:
    """Kill a process that runs, and all that it has started."""
    if process.poll() is not None:
        return
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    doomed = {process.pid}
    while more := {child for child, parent in parents.items() if parent in doomed} - doomed:
        doomed |= more
    for number in doomed:
        with suppress(ProcessLookupError):
            kill(number, signal.SIGKILL)
    process.wait()
