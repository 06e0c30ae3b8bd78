"""Full disks of real devices and servers: small file systems of their own, where one may mount."""

import errno
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

pytest.importorskip("flwr")

from addapt._errors import FleetError  # noqa: E402
from addapt.domains import Store  # noqa: E402
from addapt.fleet import processes  # noqa: E402
from tests.conftest import write_images  # noqa: E402
from tests.faults import fail  # noqa: E402
from tests.fleet.test_processes import PATIENCE_S, Fleet, Process, said_by, wait_for  # noqa: E402

FULL_BYTES, ROOM_BYTES, CHUNK_BYTES = 64 * 1024, 16 * 1024 * 1024, 1024


@contextmanager
def small_disk(folder: Path, room: int = FULL_BYTES) -> Iterator[None]:
    """Make a folder one of little room."""
    folder.mkdir()
    size = f"size={room}"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path) -> None:
    """Leave no room."""
    with suppress(OSError), (folder / "filling").open("wb", buffering=0) as file:
        while file.write(bytes(CHUNK_BYTES)):
            pass


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    for seed, name in enumerate(("first", "second")):
        write_images(tmp_path / name, ("green", "red"), 4, 32, seed)
    with Fleet(tmp_path) as running:
        yield running


def refused(process: Process) -> str:
    """Return the last line of a command, once it has ended with an error."""
    said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2, said
    return said.splitlines()[-1]


def test_no_room_for_flower_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(processes, "write_programs", lambda folder: fail(errno.ENOSPC))
    with pytest.raises(FleetError, match=r"because the disk is full: free .* TMPDIR"):
        processes.FlowerHome()
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_device_without_room_says_so_and_the_others_go_on(fleet: Fleet) -> None:
    store = fleet.folder / "first-store"
    with small_disk(store):
        server = fleet.serve("--rounds", "1")
        full, other = fleet.join("first", "--fetch"), fleet.join("second", "--fetch")
        assert "could not be written because the disk is full" in refused(full)
        said = said_by(server)
        assert "Left out" in said and "the disk is full" in said and "Learned 2 classes" in said
        assert "kept" in said_by(other)
        assert [path.suffix for path in store.rglob("*") if path.is_file()] == [".lock"]


@pytest.mark.slow
def test_a_server_without_room_says_so_and_goes_on_once_there_is_some(fleet: Fleet) -> None:
    store = fleet.folder / "server"
    with small_disk(store):
        devices = [fleet.join("first"), fleet.join("second")]
        assert "was not written" in refused(fleet.serve("--rounds", "1"))
        assert not Store(store).names()
        assert not [path for path in store.rglob("*") if path.is_file()]
        subprocess.run(["mount", "-o", f"remount,size={ROOM_BYTES}", store], check=True)
        assert "Learned 2 classes" in said_by(fleet.serve("--rounds", "1"))
        for device in devices:
            said_by(device)


@pytest.mark.slow
def test_a_device_ends_although_its_temporary_files_have_no_room(fleet: Fleet) -> None:
    temporary = fleet.folder / "temporary"
    with small_disk(temporary, ROOM_BYTES):
        server = fleet.serve("--rounds", "2")
        device = fleet.join("first", "--fetch", environment={"TMPDIR": str(temporary)})
        other = fleet.join("second")
        wait_for(server, "2 of 2 devices")
        fill(temporary)
        assert "Learned 2 classes" in said_by(server)
        assert "kept" in said_by(device)
        said_by(other)
