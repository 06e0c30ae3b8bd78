"""Folders of real people, from end to end: what is passed over is said, in words and in JSON."""

from pathlib import Path

import pytest

from tests.cli.conftest import refused, run, run_json, said
from tests.conftest import MakeFolder, write_images

QUICK = ("--epochs", "1", "--image-px", "32", "--threads", "1", "--method", "head")
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


def test_what_is_passed_over_is_said(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("addapt.images.listing.heif_is_readable", lambda: False)
    folder = make_folder(classes=("1", "2", "10"), images=10)
    (folder / "1" / "notes.txt").write_text("text")
    (folder / "2" / "IMG_1.HEIC").write_bytes(HEIC)
    (folder / "10" / "around").symlink_to(folder)
    words = ("learn", "c", folder, "--store", tmp_path / "s", *QUICK)
    result = run(*words)
    told = "1 .txt file, 1 HEIF image, 1 link to a folder that is read already"
    assert result.exit_code == 0, result.stderr
    assert f"Passed over: {told}." in result.stdout
    assert "Warning: 1 HEIF image cannot be read and is left out. The first: " in result.stderr
    report = run_json(*words, "--restart")
    assert report["passed_over"] == {".txt": 1, "HEIF": 1, "link": 1}
    assert report["warnings"][0].startswith("1 HEIF image cannot be read")
    assert report["class_names"] == ["1", "10", "2"]

    checking = ("eval", "c", folder, "--store", tmp_path / "s")
    checked = run_json(*checking)
    assert checked["passed_over"] == report["passed_over"]
    assert checked["warnings"] == report["warnings"]
    assert [score["label"] for score in checked["per_class"]] == ["1", "10", "2"]
    rows = [line.split("\t")[0] for line in said(*checking).splitlines() if "\t" in line]
    assert rows == ["class", "1", "2", "10"]
    assert "\n1, 2, 10" in said("show", "c", "--store", tmp_path / "s").replace("classes\t", "\n")

    (folder / "2" / "IMG_2.HEIC").write_bytes(HEIC)
    assert "2 of the 12 images in the class folder" in refused(*checking)


def test_parts_that_learning_leaves_alone_are_said(tmp_path: Path) -> None:
    write_images(tmp_path / "in" / "Training Set", ("red", "green"), 4, 40, 0)
    write_images(tmp_path / "in" / "unlabeled", ("red",), 2, 40, 1)
    words = ("learn", "c", tmp_path / "in", "--store", tmp_path / "s", *QUICK)
    assert "Learning left alone: unlabeled." in said(*words)
    assert run_json(*words, "--restart")["left_alone"] == ["unlabeled"]
    message = refused("eval", "c", tmp_path / "in", "--store", tmp_path / "s")
    assert f"or give {tmp_path / 'in' / 'Training Set'} itself" in message


def test_folds_are_no_classes(tmp_path: Path) -> None:
    for fold in ("fold1", "fold2"):
        write_images(tmp_path / "in" / fold, ("red", "green"), 2, 40, 0)
    message = refused("learn", "c", tmp_path / "in", "--store", tmp_path / "s", *QUICK)
    assert "parts fold1 and fold2, of the classes green and red" in message
