"""`addapt audit` as a user meets it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner, Result

from addapt.cli.main import app
from addapt.engines.torch.backbones import load_backbone
from addapt.engines.torch.freezing import audit

SMALL = ("--backbone", "resnet18", "--image-px", "32")


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["audit", *map(str, words)], env={"COLUMNS": "200"})


def run_json(*words: str | Path) -> Any:
    result = run(*words, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def total(rows: Any) -> int:
    return sum(row["kept_bytes"] for row in rows)


def test_rows_and_totals() -> None:
    report = run_json(*SMALL, "--batch", "3")
    assert (report["backbone"], report["image_px"], report["batch"]) == ("resnet18", 32, 3)
    assert set(report["rows"][0]) == {"name", "kind", "kept_bytes", "reason", "remedy"}
    assert report["rows"][0]["name"] == "stem.0.conv"
    assert report["rows"][0]["reason"] == "1 bit an element"
    assert total(report["rows"]) == report["frozen_kept_bytes"]
    x = torch.randn(3, 3, 32, 32)
    lean, plain = (load_backbone("resnet18", "random", plain=p) for p in (False, True))
    assert report["frozen_kept_bytes"] == sum(row.kept_bytes for row in audit(lean, x))
    measured = sum(row.kept_bytes for row in audit(plain, x))
    # On the device meta a batch norm in evaluation mode keeps two numbers a channel more.
    assert measured <= report["plain_kept_bytes"] < 1.1 * measured


def test_plain_network() -> None:
    report = run_json(*SMALL, "--plain")
    assert total(report["rows"]) == report["plain_kept_bytes"] > 20 * report["frozen_kept_bytes"]
    assert report["rows"][0]["remedy"] == "freeze the network"


def test_layers_that_keep_nothing_are_listed_on_demand() -> None:
    some, every = run_json(*SMALL)["rows"], run_json(*SMALL, "--all")["rows"]
    assert all(row["kept_bytes"] for row in some)
    assert [row for row in every if row["kept_bytes"]] == some
    assert len(every) > len(some)


def test_table() -> None:
    result = run(*SMALL)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert any("stem.1" in line and "1 byte an output element" in line for line in lines)
    assert lines[-1].startswith("For a batch of 1 at 32 px resnet18 keeps 0.01 MB for backward;")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--backbone", "resnet19"), "Did you mean 'resnet18'?"),
        (("--codes", "4bit"), "There are no codes '4bit'"),
        (("--plain", "--codes", "8bit"), "leave out --plain or --codes"),
        (("--weights", "nowhere.pth"), "nowhere.pth"),
    ],
)
def test_mistakes(words: tuple[str, ...], message: str) -> None:
    result = run(*SMALL, *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_a_method_says_what_its_step_keeps_and_why() -> None:
    report = run_json(*SMALL, "--method", "parallel_adapter", "--batch", "2")
    assert report["kept_bytes"] == total(report["rows"]) > 0
    adapter = next(row for row in report["rows"] if row["name"].endswith("adapter"))
    assert adapter["reason"] == "its input, for its trained weight"
    assert "trained on the input" in report["why"]
    text = run(*SMALL, "--method", "da3").stdout
    assert "never a block's output" in text
    assert "da3 on resnet18 keeps" in text


@pytest.mark.parametrize("option", [("--plain",), ("--all",), ("--codes", "8bit")])
def test_a_method_has_its_own_audit(option: tuple[str, ...]) -> None:
    result = run(*SMALL, "--method", "da3", *option)
    assert result.exit_code == 2
    assert "leave out" in result.stderr


def test_an_unknown_method() -> None:
    result = run(*SMALL, "--method", "da4")
    assert result.exit_code == 2
    assert "Did you mean 'da3'" in result.stderr
