"""Accuracies in words and JSON: by class, and how sure they are."""

import json
from pathlib import Path
from typing import Any

import pytest

from addapt.cli.accuracies import accuracy_lines, balanced_cells, evaluation_lines
from addapt.learning import ClassScore
from tests.cli.conftest import refused, run, run_json, said
from tests.conftest import write_images
from tests.domains.domain_cases import INFO

QUICK = ("--method", "head", "--epochs", "1", "--image-px", "32", "--threads", "1")


class Report:
    """What the lines need of a report and of an evaluation."""

    def __init__(self, images: int, correct: int, low: float, **others: Any) -> None:
        self.val_images = self.images = images
        self.val_accuracy = 0.95
        self.balanced_accuracy = 0.5
        self.weakest = ClassScore("rare", 2, correct, correct / 2)
        self.interval = (low, 1.0)
        self.calibration_error, self.accepted = 0.031, others.get("accepted")
        weakest = {"label": "rare", "images": 2, "correct": correct}
        self.val_report = {
            "balanced_accuracy": 0.5,
            "weakest": weakest,
            "interval": [low, 1.0],
            "calibration_error": 0.031,
        }


CALIBRATED = [
    "Probabilities are off by 3.1% on average.",
    "Without a signature no image is refused as foreign: `addapt index` makes one.",
]


def lines(report: Any) -> tuple[list[str], list[str]]:
    return accuracy_lines(report), evaluation_lines(report)


def test_few_images_have_an_interval_and_many_none() -> None:
    assert lines(Report(29, 2, 0.342)) == (
        ["Accuracy 95.0% on 29 images held out (34% to 100%).", CALIBRATED[0]],
        ["On so few images the accuracy may be 34% to 100% in truth.", *CALIBRATED],
    )
    by_class = "Balanced accuracy 50.0%; the weakest class, rare, 1 of 2."
    assert lines(Report(30, 1, 0.342)) == (
        ["Accuracy 95.0% on 30 images held out.", by_class, CALIBRATED[0]],
        [by_class, *CALIBRATED],
    )
    accepted = lines(Report(30, 2, 0.342, accepted=0.957))[1][-1]
    assert accepted == "Accepted as images of this domain: 95.7%."


def test_a_table_says_a_dash_of_older_files() -> None:
    assert balanced_cells(INFO) == ("85.0%", "tulipán: 1 of 2")
    fields = vars(INFO) | {"val_report": {}}
    assert balanced_cells(type(INFO)(**fields)) == ("–", "–")


@pytest.fixture
def uneven(tmp_path: Path) -> Path:
    for label, images, seed in (("common", 24, 0), ("rare", 4, 1)):
        write_images(tmp_path / "images", (label,), images, 40, seed)
    return tmp_path / "images"


def test_uneven_classes_from_learning_to_showing(uneven: Path, tmp_path: Path) -> None:
    store = ("--store", tmp_path / "store")
    result = run("learn", "x", uneven, *store, *QUICK)
    assert result.exit_code == 0, result.stderr
    assert "'rare' has 3 images to learn from, and 'common' has 22" in result.stderr
    assert "given more weight for that (not with --balance off)" in result.stderr
    assert "The accuracy says little: of the class 'rare' there are only 4" in result.stderr
    assert " on 3 images held out (" in result.stdout
    assert "Probabilities are off by" in result.stdout

    report = run_json("learn", "y", uneven, *store, *QUICK, "--balance", "off")
    assert report["balance"] is False
    shown = run_json("show", "y", *store)["val_report"]
    assert report["val_report"] == shown
    calibration = {"temperature", "calibration_error"}
    assert set(shown) == {"balanced_accuracy", "weakest", "interval", "meaning"} | calibration
    assert "says little" in said("show", "y", *store)
    listed = said("domains", *store).splitlines()
    place = listed[0].split("\t").index("balanced")
    assert listed[2].split("\t")[place] == f"{shown['balanced_accuracy']:.1%}"

    evaluation = json.loads(run("eval", "x", uneven, *store, "--json").stdout)
    shares = [score["accuracy"] for score in evaluation["per_class"]]
    assert evaluation["balanced_accuracy"] == pytest.approx(sum(shares) / 2)
    assert evaluation["weakest"]["accuracy"] == min(shares)
    assert evaluation["interval"][0] <= evaluation["accuracy"] <= evaluation["interval"][1]
    assert "On so few images" in said("eval", "x", uneven, *store)


def test_no_such_balance(uneven: Path, tmp_path: Path) -> None:
    message = refused("learn", "x", uneven, "--store", tmp_path / "s", "--balance", "of")
    assert "'of'" in message and "off" in message
