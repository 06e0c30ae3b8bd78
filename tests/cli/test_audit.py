"""`addapt audit` as a user meets it."""

from typing import Any

import pytest
import torch

from addapt.engines.torch.backbones import load_backbone
from addapt.engines.torch.freezing import audit
from tests.cli.conftest import refused, run_json, said

SMALL = ("audit", "--backbone", "resnet18", "--image-px", "32")


@pytest.fixture(autouse=True)
def _room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def total(rows: Any) -> int:
    return sum(row["kept_bytes"] for row in rows)


def test_rows_and_totals() -> None:
    report = run_json(*SMALL, "--batch", "3")
    assert (report["backbone"], report["image_px"], report["batch"]) == ("resnet18", 32, 3)
    assert set(report["rows"][0]) == {"name", "kind", "kept_bytes", "reason", "remedy"}
    assert report["rows"][0]["name"] == "stem.0.conv"
    assert report["rows"][0]["reason"] == "1 bit an element"
    assert all(row["kept_bytes"] for row in report["rows"])
    assert total(report["rows"]) == report["frozen_kept_bytes"]
    x = torch.randn(3, 3, 32, 32)
    lean, plain = (load_backbone("resnet18", "random", plain=p) for p in (False, True))
    assert report["frozen_kept_bytes"] == sum(row.kept_bytes for row in audit(lean, x))
    measured = sum(row.kept_bytes for row in audit(plain, x))
    # On the device meta a batch norm in evaluation mode keeps two numbers a channel more.
    assert measured <= report["plain_kept_bytes"] < 1.1 * measured


def test_every_layer_of_the_plain_network() -> None:
    report = run_json(*SMALL, "--plain", "--all")
    assert total(report["rows"]) == report["plain_kept_bytes"] > 20 * report["frozen_kept_bytes"]
    assert report["rows"][0]["remedy"] == "freeze the network"
    assert not all(row["kept_bytes"] for row in report["rows"])


def test_table() -> None:
    lines = said(*SMALL).splitlines()
    assert any("stem.1" in line and "1 byte an output element" in line for line in lines)
    assert lines[-1].startswith("For a batch of 1 at 32 px resnet18 keeps 0.01 MB for backward;")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--backbone", "resnet19"), "Did you mean 'resnet18'?"),
        (("--codes", "4bit"), "There are no codes '4bit'"),
        (("--plain", "--codes", "8bit"), "leave out --plain or --codes"),
        (("--weights", "nowhere.pth"), "nowhere.pth"),
        (("--method", "da4"), "Did you mean 'da3'"),
        *((("--method", "da3", option), "leave out --plain") for option in ("--plain", "--all")),
        (("--method", "da3", "--codes", "8bit"), "leave out --plain"),
    ],
)
def test_mistakes(words: tuple[str, ...], message: str) -> None:
    assert message in refused(*SMALL, *words)


def test_a_method_says_what_its_step_keeps_and_why() -> None:
    report = run_json(*SMALL, "--method", "parallel_adapter", "--batch", "2")
    assert report["kept_bytes"] == total(report["rows"]) > 0
    adapter = next(row for row in report["rows"] if row["name"].endswith("adapter"))
    assert adapter["reason"] == "its input, for its trained weight"
    assert "trained on the input" in report["why"]
    text = said(*SMALL, "--method", "da3")
    assert "never a block's output" in text and "da3 on resnet18 keeps" in text
