"""Deep images on the command line: said once, shown, and recognised by either engine."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from addapt.domains import Store
from tests.cli.conftest import run_json, run_lines, said
from tests.cli.test_cli import QUICK
from tests.conftest import write_images


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_eight_bit_values_in_sixteen_bit_files(tmp_path: Path, engine: str) -> None:
    rng = np.random.default_rng(0)
    for label in ("eight", "three"):
        (tmp_path / "in" / label).mkdir(parents=True)
        for number in range(4):
            values = rng.choice([0, 40, 255], (40, 40)).astype(np.uint16)
            Image.fromarray(values).save(tmp_path / "in" / label / f"{number}.tif")
    place = ("--store", tmp_path / "s", "--engine", engine)
    words = said("learn", "x", tmp_path / "in", *place, *QUICK, "--method", "head")
    assert "Grey values 0 to 255 of deep images become 0 to 255." in words
    shown = run_json("show", "x", "--store", tmp_path / "s")
    assert shown["value_range"] == [0, 255]
    assert "0.0, 255.0" in said("show", "x", "--store", tmp_path / "s")

    image = tmp_path / "in" / "eight" / "0.tif"
    Image.open(image).convert("L").save(tmp_path / "same.png")
    ask = ("predict", image, tmp_path / "same.png", "--domain", "x", *place, "--threads", "1")
    deep, same = run_lines(*ask)
    assert deep["probability"] == pytest.approx(same["probability"], abs=1e-6)
    assert deep["top"][0]["label"] == same["top"][0]["label"]


def test_without_deep_images_nothing_is_said(tmp_path: Path) -> None:
    write_images(tmp_path / "in", ("green", "red"), 6, 40, 0)
    words = ("learn", "x", tmp_path / "in", "--store", tmp_path / "s", *QUICK, "--method", "head")
    assert "deep images" not in said(*words)
    assert Store(tmp_path / "s").info("x").value_range == ()
    assert run_json(*words, "--restart")["value_range"] == []
