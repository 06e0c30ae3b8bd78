"""What all tests of the command line share."""

import functools
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result  # type: ignore[attr-defined, unused-ignore]

from addapt.cli.main import app
from addapt.engines.torch import engine
from addapt.engines.torch.backbones import Backbone, load_backbone
from tests.conftest import write_images

LABELS = ("green [bold]", "red")
QUICK_HEAD = ("--epochs", "1", "--image-px", "32", "--threads", "1", "--method", "head")
_load_once = functools.cache(load_backbone)


@pytest.fixture(autouse=True)
def _backbones_of_the_project_are_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have commands share what they leave as it was: making it takes longer than most of them."""

    def load(name: str, weights: str | None = None, **how: object) -> Backbone:
        own = weights in (None, "random")
        return (_load_once if own else load_backbone)(name, weights, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "load_backbone", load)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a store of one domain and the images it was learned from."""
    root = tmp_path_factory.mktemp("learned")
    write_images(root / "images", LABELS, 15, 40, 0)
    run_json("learn", "colours", root / "images", "--store", root / "store", *QUICK_HEAD)
    return root


@pytest.fixture
def where(learned: Path) -> tuple[object, ...]:
    return ("--domain", "colours", "--store", learned / "store", "--threads", "1")


def run(*words: object, given: bytes | None = None) -> Result:
    """Run a command, which is given some bytes on standard input."""
    return CliRunner().invoke(app, [str(word) for word in words], input=given)


def run_json(*words: object) -> Any:
    result = run(*words, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def run_lines(*words: object) -> list[Any]:
    """Run a command that prints JSON line by line."""
    result = run(*words, "--json")
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def said(*words: object) -> str:
    """Run a command that succeeds; return all it printed in words."""
    result = run(*words)
    assert result.exit_code == 0, result.stderr
    return result.stdout + result.stderr


def refused(*words: object) -> str:
    """Run a command that must fail as the user's mistake; return its message on one line."""
    result = run(*words)
    assert result.exit_code == 2, (result.stdout, result.stderr)
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    return " ".join(result.stderr.split())
