"""A device runs its own app, whatever a server sends."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("flwr")

from flwr.supernode.runtime import run_clientapp  # noqa: E402

from addapt._errors import FleetError  # noqa: E402
from addapt.fleet import own_app  # noqa: E402
from addapt.fleet.client_app import app  # noqa: E402


def test_both_doors_to_sent_code_are_shut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_clientapp, "install_from_fab", run_clientapp.install_from_fab)
    monkeypatch.setattr(
        run_clientapp, "get_load_client_app_fn", run_clientapp.get_load_client_app_fn
    )
    own_app.shut_doors()
    assert run_clientapp.install_from_fab(b"a program", skip_prompt=True) is None
    load = run_clientapp.get_load_client_app_fn(default_app_ref="", app_path=None, multi_app=True)
    assert load("publisher/other", "1.0.0", "0123") is app


@pytest.mark.parametrize("name", ["install_from_fab", "get_load_client_app_fn"])
def test_a_flower_with_other_doors_runs_nothing(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delattr(run_clientapp, name)
    with pytest.raises(FleetError, match=name):
        own_app.shut_doors()


def test_what_a_node_starts_is_this_program(tmp_path: Path) -> None:
    own_app.write_program(tmp_path / "programs")
    (program,) = (tmp_path / "programs").iterdir()
    assert program.name == own_app.PROGRAM
    done = subprocess.run([program, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "ClientApp" in done.stdout
    assert program.read_text("utf-8").startswith(f"#!{sys.executable}\n")
