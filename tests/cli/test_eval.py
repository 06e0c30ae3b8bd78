"""`addapt eval`: mistakes, sheets of them, and classes where there are many."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from addapt.cli import per_class
from tests.cli.conftest import refused, run, run_json, said
from tests.conftest import write_images


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a store of one domain and images, of which two have a wrong class."""
    root = tmp_path_factory.mktemp("learned")
    write_images(root / "images", ("blue", "green", "red"), 6, 40, 0)
    words = ("--epochs", "20", "--image-px", "64", "--threads", "1", "--method", "head")
    run_json("learn", "colours", root / "images", "--store", root / "store", *words)
    write_images(root / "right", ("blue", "green", "red"), 2, 40, 1)
    write_images(root / "wrong", ("blue", "green", "red"), 2, 40, 1)
    (root / "wrong" / "blue" / "0.png").rename(root / "wrong" / "green" / "<b>blue.png")
    (root / "wrong" / "red" / "0.png").rename(root / "wrong" / "green" / "red.png")
    return root


def words_of(learned: Path, folder: str) -> tuple[object, ...]:
    return ("eval", "colours", learned / folder, "--store", learned / "store")


def test_mistakes_are_listed(learned: Path) -> None:
    words = words_of(learned, "wrong")
    fields = run_json(*words, "--mistakes", "20")
    assert len(fields["per_image"]) == 6
    assert sum(image["correct"] for image in fields["per_image"]) == 4
    first, second = fields["mistakes"]
    assert first["probability"] >= second["probability"]
    assert {first["predicted"], second["predicted"]} == {"blue", "red"}
    assert {first["label"], second["label"]} == {"green"}
    assert first in fields["per_image"]
    assert run_json(*words)["mistakes"] is None
    shown = said(*words, "--mistakes", "1").splitlines()
    place = shown.index("1 of 2 mistakes, the most confident first")
    assert shown[place + 1] == "image\tclass\ttaken for\tprobability"
    probability = f"{first['probability']:.1%}"
    assert shown[place + 2] == f"{first['image']}\tgreen\t{first['predicted']}\t{probability}"
    assert len(shown) == place + 3


def test_no_mistakes(learned: Path, tmp_path: Path) -> None:
    words = words_of(learned, "right")
    assert run_json(*words, "--mistakes", "20")["mistakes"] == []
    assert "All 6 images were recognised." in said(*words, "--mistakes", "20")
    page, sheet = tmp_path / "none.html", tmp_path / "none.png"
    assert f"Wrote {page}." in said(*words, "--sheet", page)
    assert "colours: All 6 images were recognised." in page.read_text(encoding="utf-8")
    said(*words, "--sheet", sheet)
    with Image.open(sheet) as image:
        assert np.asarray(image).min() < 100  # the sentence
    for number in ("0", "-1"):
        assert run(*words, "--mistakes", number).exit_code == 2


def test_a_sheet_shows_the_mistakes_without_a_number_too(learned: Path, tmp_path: Path) -> None:
    words = words_of(learned, "wrong")
    page, sheet = tmp_path / "sheet.html", tmp_path / "SHEET.PNG"
    page.write_text("what was there is replaced")
    shown = said(*words, "--sheet", page)
    assert "taken for" not in shown
    text = page.read_text(encoding="utf-8")
    assert text.count("<img ") == 2
    assert "2 of 2 mistakes" in text and "green/&lt;b&gt;blue.png" in text
    said(*words, "--mistakes", "1", "--sheet", page)
    assert page.read_text(encoding="utf-8").count("<img ") == 1
    said(*words, "--sheet", sheet)
    with Image.open(sheet) as image:
        assert image.format == "PNG"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["SHEET.PNG", "sheet.html"]


@pytest.mark.parametrize("option", ["--sheet", "--per-class", "--confusion"])
def test_a_file_that_cannot_be_written_is_refused_before_the_work(
    option: str, tmp_path: Path
) -> None:
    (tmp_path / "folder.png").mkdir()
    for name, reason in {
        "mistakes.doc": "must end in one of .png",
        "mistakes": "must end in one of",
        "nowhere/mistakes.png": "does not exist: make it first",
        "folder.png": "is a folder",
    }.items():
        # There is no domain: that would be told if it were looked for.
        assert reason in refused("eval", "none", tmp_path, option, tmp_path / name)


def test_per_class_chart(learned: Path, tmp_path: Path) -> None:
    chart = tmp_path / "classes.svg"
    assert f"Wrote {chart}." in said(*words_of(learned, "wrong"), "--per-class", chart)
    assert "<svg" in chart.read_text(encoding="utf-8")


def test_of_many_classes_a_terminal_shows_the_weakest(
    learned: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from addapt.learning import Learner

    evaluation = Learner(store=learned / "store").evaluate("colours", learned / "wrong")
    monkeypatch.setattr(per_class, "MANY_CLASSES", 2)
    monkeypatch.setattr(per_class, "WEAKEST", 1)
    per_class.print_classes(evaluation, every=False)
    piped = capsys.readouterr().out
    assert "green\t4\t2\t50.0%\n" in piped and "red\t1\t1\t100.0%\n" in piped
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    per_class.print_classes(evaluation, every=False)
    weakest = capsys.readouterr().out
    assert "green" in weakest and "━" in weakest and "red" not in weakest
    assert "weakest of 3 classes: --all-classes" in weakest
    per_class.print_classes(evaluation, every=True)
    every = capsys.readouterr().out
    assert "red" in every and "weakest" not in every
