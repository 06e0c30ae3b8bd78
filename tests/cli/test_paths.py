"""Every command puts the home folder in place of ~, wherever it takes a path."""

from pathlib import Path

import pytest
from typer.main import get_command

from addapt.cli.main import app
from addapt.cli.paths import CommandWithPaths
from tests.cli.conftest import refused, run_json, said
from tests.conftest import MakeFolder


def test_every_command_does() -> None:
    commands = dict(get_command(app).commands)  # type: ignore[attr-defined]
    commands |= commands.pop("bench").commands | commands.pop("fleet").commands
    assert len(commands) > 10
    assert [name for name, each in commands.items() if type(each) is not CommandWithPaths] == []


def test_home_in_folders_stores_images_and_new_files(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    make_folder(images=3)
    quick = ("--epochs", "1", "--image-px", "32", "--threads", "1", "--val-fraction", "0.34")
    learned = run_json("learn", "c", "~/colours", "--store=~/s", "--method", "head", *quick)
    assert learned["file"] == str(tmp_path / "s" / "c.safetensors")
    row = run_json("predict", "~/colours/red/0.png", "--domain", "c", "--store", "~/s")
    assert row["image"] == str(tmp_path / "colours/red/0.png")
    words = ("eval", "c", "~/colours", "--store", "~/s", "--confusion", "~/c.svg")
    assert f"Wrote {tmp_path / 'c.svg'}." in said(*words)
    assert "No domain in ~nobody-at-all/s yet" in said("domains", "--store", "~nobody-at-all/s")


def test_an_address_is_told_to_be_none(tmp_path: Path) -> None:
    message = refused("learn", "c", "https://x.org/photos", "--store", tmp_path, "--method", "head")
    assert "https://x.org/photos is an address, and addapt downloads nothing." in message
