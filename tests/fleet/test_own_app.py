"""Devices and servers run their own app, whatever others send."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

pytest.importorskip("flwr")

from flwr.app import Context, RecordDict  # noqa: E402
from flwr.supercore.constant import TASK_TYPE_TO_COMMAND  # noqa: E402

from addapt._errors import FleetError  # noqa: E402
from addapt.fleet import client_app, own_app, server_app  # noqa: E402

DEVICE = import_module("flwr.supernode.runtime.run_clientapp")
SERVER = import_module("flwr.superlink.runtime.run_serverapp")


@pytest.fixture(autouse=True)
def _doors_are_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in (
        (DEVICE, "install_from_fab"),
        (DEVICE, "get_load_client_app_fn"),
        (SERVER, "run_"),
    ):
        monkeypatch.setattr(module, name, getattr(module, name))


def test_a_device_neither_unpacks_nor_loads_what_was_sent() -> None:
    own_app.shut_client()
    assert DEVICE.install_from_fab(b"a program", skip_prompt=True) is None
    load = DEVICE.get_load_client_app_fn(default_app_ref="", app_path=None, multi_app=True)
    assert load("publisher/other", "1.0.0", "0123") is client_app.app


def test_a_server_runs_its_own_app_by_its_own_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "run.toml"
    settings.write_text('name = "flowers"\nrounds = 3\n')
    asked = []
    monkeypatch.setattr(
        server_app, "app", lambda grid, context: asked.append((grid, context.run_config))
    )
    own_app.shut_server(settings)
    foreign = Context(1, 0, {}, RecordDict(), {"name": "other", "store": "/etc"})
    SERVER.run_(grid="grid", context=foreign, server_app_dir="sent", server_app_attr="bad:app")
    assert asked == [("grid", {"name": "flowers", "rounds": 3})]


@pytest.mark.parametrize("name", ["install_from_fab", "get_load_client_app_fn"])
def test_a_flower_with_other_doors_runs_nothing(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delattr(DEVICE, name)
    with pytest.raises(FleetError, match=name):
        own_app.shut_client()


def test_a_server_of_a_flower_with_another_door_runs_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delattr(SERVER, "run_")
    with pytest.raises(FleetError, match="run_"):
        own_app.shut_server(tmp_path)


@pytest.mark.parametrize(("name", "word"), [("CLIENT", "ClientApp"), ("SERVER", "ServerApp")])
def test_these_are_flowers_programs(tmp_path: Path, name: str, word: str) -> None:
    own_app.write_programs(tmp_path / "programs")
    program = tmp_path / "programs" / getattr(own_app, name)
    done = subprocess.run(
        [program, "--help"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "", "PYTHONPATH": ":".join(sys.path), "FLWR_HOME": str(tmp_path)},
    )
    assert done.returncode == 0 and word in done.stdout


def test_apps_of_other_kinds_are_not_run(tmp_path: Path) -> None:
    own_app.write_programs(tmp_path / "programs")
    kinds = {str(name) for name in TASK_TYPE_TO_COMMAND.values()}
    assert kinds - {own_app.CLIENT, own_app.SERVER} == set(own_app.REFUSED)
    for name in own_app.REFUSED:
        done = subprocess.run([tmp_path / "programs" / name], capture_output=True, check=False)
        assert done.returncode == 1 and b"not run here" in done.stderr


def test_an_app_that_waits_ends_after_the_process_that_started_it_was_killed() -> None:
    app = (
        "import signal, time; from addapt.fleet import own_app; own_app.END_S = 0.1;"
        "[signal.signal(one, signal.SIG_IGN) for one in (signal.SIGINT, signal.SIGTERM)];"
        "own_app.end_after_parent(); print('here', flush=True);"
        "time.sleep(60); print('outlived', flush=True)"
    )
    starter = (
        "import subprocess, sys; app = subprocess.Popen([sys.executable, '-c', sys.argv[1]]);"
        "print(app.pid, flush=True); app.wait()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", starter, app], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        said = sorted([parent.stdout.readline().strip(), parent.stdout.readline().strip()])
        assert said[1] == "here"
        os.kill(int(said[0]), 0)  # it lives
        parent.kill()
        assert parent.stdout.read() == ""  # to the end of the last process that holds it
