"""The cases val_duplicates and same_picture_two_classes, as a user meets them."""

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import refused, run, run_json
from tests.conftest import write_images

QUICK = ("--epochs", "1", "--image-px", "32", "--threads", "1")


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_a_val_that_is_a_copy_of_train(tmp_path: Path, engine: str) -> None:
    folder, where = tmp_path / "in", ("--store", tmp_path / "s", "--engine", engine)
    write_images(folder / "train", ("eight", "three"), 4, 40, 0)
    shutil.copytree(folder / "train", folder / "val")
    result = run("learn", "x", folder, *where, *QUICK, "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert (report["copies"], report["train_images"], report["val_images"]) == (8, 6, 2)
    warnings = (
        "All 8 images to validate with are copies of images to learn from (first: "
        "train/eight/0.png = val/eight/0.png). They are left out, for they would tell nothing.",
        "No images to validate with are left: a part of the images to learn from is held out "
        "instead.",
    )
    assert tuple(report["warnings"][: len(warnings)]) == warnings
    said = " ".join(result.stderr.split())
    assert all(warning in said for warning in warnings)

    shutil.copyfile(folder / "train" / "eight" / "2.png", folder / "train" / "eight" / "9.png")
    scores = run_json("eval", "x", folder / "train", *where)
    assert scores["copies"] == 1
    assert scores["warnings"] == [
        "1 of 9 images are copies of others (first: eight/2.png = eight/9.png); each counts as "
        "often as it is there."
    ]


def test_the_same_images_in_two_classes(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write_images(folder, ("a",), 4, 40, 0)
    shutil.copytree(folder / "a", folder / "b")
    message = refused("learn", "x", folder, "--store", tmp_path / "s", *QUICK)
    assert "All 4 images of the class 'a' lie in another class as well." in message
    assert "a/0.png = b/0.png, a/1.png = b/1.png" in message
