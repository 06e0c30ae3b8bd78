"""Fleets of real processes on the loopback address: Flower's own, and the command line."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from typing_extensions import Self

pytest.importorskip("flwr")

from addapt.domains import Store  # noqa: E402
from addapt.fleet.processes import free_port  # noqa: E402
from addapt.learning import Learner  # noqa: E402
from tests.conftest import write_images  # noqa: E402
from tests.fleet.network import Network  # noqa: E402

PATIENCE_S = 600
AWAY_S = 60  # of the network
COMMAND = "from addapt.cli.main import main; main()"
Process = subprocess.Popen[str]


class Fleet:
    """Commands that run beside each other; what is left of them is ended."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.address = folder, f"127.0.0.1:{free_port()}"
        self._running: list[Process] = []

    def start(self, *words: str | Path, environment: Mapping[str, str] | None = None) -> Process:
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, "fleet", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
        )
        self._running.append(process)
        return process

    def serve(self, *words: str) -> Process:
        port = self.address.partition(":")[2]
        where = ("--port", port, "--store", self.folder / "server")
        how = ("--image-px", "32", "--method", "head")
        return self.start("serve", "colours", *where, *how, *words)

    def join(
        self,
        name: str,
        *words: str | Path,
        address: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> Process:
        where = ("--store", self.folder / f"{name}-store", "--threads", "1")
        images = self.folder / name
        told = (address or self.address, "colours", images, *where, *words)
        return self.start("join", *told, environment=environment)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running:
            process.kill()
            process.communicate()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    write_images(tmp_path / "first", ("blue", "green"), 4, 32, 0)
    write_images(tmp_path / "second", ("green", "red"), 4, 32, 1)
    with Fleet(tmp_path) as running:
        yield running


def said_by(process: Process) -> str:
    """Return all that a command has said, once it has ended well."""
    said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said
    return said


def wait_for(process: Process, words: str) -> None:
    """Read what a command says until it has said this."""
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return
    raise AssertionError(f"it ended without {words!r}")


def test_two_devices_learn_one_domain_that_one_of_them_fetches(fleet: Fleet) -> None:
    server = fleet.serve("--rounds", "1")
    devices = [fleet.join("first", "--fetch"), fleet.join("second", "--json")]
    said = said_by(server)
    assert "without red" in said and "Round 1 of 1: 2 devices" in said
    assert "kept" in said_by(devices[0])
    assert json.loads(said_by(devices[1]))["file"] is None
    learned, fetched = (Store(fleet.folder / name) for name in ("server", "first-store"))
    for store in (learned, fetched):
        assert store.info("colours").classes == ("blue", "green", "red")
    assert fetched.info("colours").signature and not learned.info("colours").signature
    assert not (fleet.folder / "second-store" / "colours.safetensors").exists()
    image = fleet.folder / "second" / "red" / "0.png"
    found = Learner(store=fleet.folder / "server").predict([image], "colours")
    assert len(found) == 1


@pytest.mark.slow
def test_a_device_and_the_server_may_be_killed(fleet: Fleet) -> None:
    rounds = ("--rounds", "3", "--min-devices", "1")
    server = fleet.serve(*rounds)
    first, second = fleet.join("first", "--fetch"), fleet.join("second")
    wait_for(server, "2 of 1 devices")
    wait_for(second, "Learned in round 1")
    second.send_signal(signal.SIGKILL)
    wait_for(server, "Round 1 of 3")
    server.send_signal(signal.SIGKILL)
    server.wait()
    time.sleep(2)  # its port is free again
    again = fleet.serve(*rounds)
    said = said_by(again)
    assert "Round 1 of 3" not in said and "Round 3 of 3" in said
    said_by(first)
    assert Store(fleet.folder / "server").info("colours").epochs == 3


@pytest.mark.slow
def test_a_device_comes_late(fleet: Fleet) -> None:
    write_images(fleet.folder / "late", ("blue", "green"), 4, 32, 2)
    server = fleet.serve("--rounds", "15", "--min-devices", "1")
    first = fleet.join("first")
    wait_for(server, "Round 1 of 15: 1 device")
    late = fleet.join("late", "--fetch")
    assert "Round 15 of 15: 2 devices" in said_by(server)
    said_by(first)
    assert "kept" in said_by(late)
    assert Store(fleet.folder / "late-store").info("colours").classes == ("blue", "green")


@pytest.mark.slow
def test_the_network_is_away_for_a_while(fleet: Fleet) -> None:
    network = Network(int(fleet.address.partition(":")[2]))
    server = fleet.serve("--rounds", "4")
    away = fleet.join("first", "--fetch", address=f"127.0.0.1:{network.port}")
    other = fleet.join("second")
    wait_for(server, "Round 1 of 4")
    network.go_away()
    time.sleep(AWAY_S)
    network.come_back()
    assert "Round 4 of 4: 2 devices" in said_by(server)
    said = said_by(away)
    assert "The server is away" in said and "kept" in said
    said_by(other)
    network.go_away()
