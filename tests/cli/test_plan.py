"""`addapt plan` as a user meets it."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from addapt.cli.main import app

SMALL = ("--backbone", "resnet18", "--image-px", "32", "--batch", "2")


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["plan", *SMALL, *words], env={"COLUMNS": "200"})


def run_json(*words: str) -> Any:
    result = run(*words, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_rows() -> None:
    report = run_json("--method", "head,finetune", "--budget", "100GB")
    assert [(row["method"], row["micro_batch"]) for row in report["rows"]] == [
        ("head", 1),
        ("head", 2),
        ("finetune", 2),
    ]
    for row in report["rows"]:
        assert {"predicted_peak_bytes", "predicted_process_bytes", "kept_bytes", "step_s"} < {*row}
        assert row["fits"] is True
    processes = [row["predicted_process_bytes"] for row in report["rows"]]
    assert report["smallest_budget_bytes"] == min(processes)
    assert (report["batch"], report["image_px"]) == (2, 32)
    assert report["budget_bytes"] == 100_000_000_000


def test_table() -> None:
    result = run("--method", "head")
    assert result.exit_code == 0
    assert "at once" in result.stdout
    assert "fits" not in result.stdout
    assert "The smallest budget that would do:" in result.stdout


def test_budget_marks_what_fits() -> None:
    smallest = run_json("--method", "head")["smallest_budget_bytes"]
    report = run_json("--method", "head,finetune", "--budget", f"{smallest}B")
    assert [row["fits"] for row in report["rows"]] == [True, False, False]
    assert "yes" in run("--method", "head", "--budget", f"{smallest}B").stdout


def test_budget_larger_than_the_machine() -> None:
    result = run("--method", "head", "--budget", "9999999GB")
    assert result.exit_code == 0
    assert "Warning: the budget of 9999999 GB is more than" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--budget", "1MB"), "the smallest that would do is"),
        (("--budget", "512"), "has no unit"),
        (("--budget", "-512MB"), "is not a positive amount"),
        (("--method", "da4"), "Did you mean 'da3'?"),
        (("--backbone", "resnet19"), "Did you mean 'resnet18'?"),
        (("--batch", "0"), "The batch is 0"),
        (("--image-px", "8"), "8 px"),
    ],
)
def test_mistakes(words: tuple[str, ...], message: str) -> None:
    result = run("--method", "head", *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
