"""`addapt learn --extend` and `addapt rename-class`, as a user meets them."""

from pathlib import Path

import pytest

from tests.cli.conftest import refused, run_json, said
from tests.conftest import write_images

QUICK = ("--epochs", "1", "--threads", "1")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder with a store of one domain, its images, and more images."""
    write_images(tmp_path / "images", ("green", "red"), 6, 40, 0)
    write_images(tmp_path / "more", ("blue", "green", "red"), 6, 40, 1)
    words = ("learn", "colours", tmp_path / "images", "--store", tmp_path / "s", *QUICK)
    run_json(*words, "--image-px", "32", "--method", "head", "--flip")
    return tmp_path


def test_extend(root: Path) -> None:
    words = ("learn", "colours", root / "more", "--store", root / "s", *QUICK)
    assert "go on with it with --extend, or learn it anew with --restart" in refused(*words)
    shown = said(*words, "--extend")
    assert "Extended colours by 1 classes (blue): 3 classes from 15 images of 32 px" in shown
    report = run_json(*words, "--extend", "--method", "head", "--backbone", "efficientnet_lite0")
    assert report["class_names"] == ["green", "red", "blue"]
    assert report["extended"]["classes"] == 3
    assert report["flip"] is True
    fields = run_json("show", "colours", "--store", root / "s")
    assert len(fields["options"]["extended"]) == 2
    assert "held_out" not in fields["options"]


def test_extending_what_cannot_be(root: Path) -> None:
    words = ("learn", "colours", root / "more", "--store", root / "s", "--extend", *QUICK)
    assert "--method is 'da3', but the domain 'colours'" in refused(*words, "--method", "da3")
    assert "--image-px is 64, but" in refused(*words, "--image-px", "64")
    assert "--extend goes on with the domain 'colours', and --restart" in refused(
        *words, "--restart"
    )
    assert "but this backbone is efficientnet_lite1" in refused(
        *words, "--backbone", "efficientnet_lite1", "--weights", "random"
    )
    other = ("learn", "colour", *words[2:])
    assert "Unknown domain 'colour'. Did you mean 'colours'?" in refused(*other)


def test_rename_class(root: Path) -> None:
    where = ("--store", root / "s")
    assert "Did you mean 'red'" in refused("rename-class", "colours", "redd", "rose", *where)
    assert said("rename-class", "colours", "red", "rose", *where) == (
        "Renamed the class red of colours to rose.\n"
    )
    renamed = run_json("rename-class", "colours", "green", "leaf", *where)
    assert renamed == {
        "domain": "colours",
        "old": "green",
        "new": "leaf",
        "classes": ["leaf", "rose"],
        "file": str(root / "s" / "colours.safetensors"),
    }
    prediction = run_json("predict", root / "images/red/0.png", "--domain", "colours", *where)
    assert prediction["label"] in ("leaf", "rose")
