"""Exported files: what they say, when they are refused, and that a bad disk leaves none by half."""

import json
import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from addapt._disk import write_atomically
from addapt._errors import AddaptError, DomainError, OptionError, UnknownNameError
from addapt.domains import Signature
from addapt.engines.base import Images, Probabilities
from addapt.gates import BLOCKS, RESOLUTION, GateConfig, GateReport, Looks, gates_fields
from addapt.learning import Learner
from addapt.learning.evaluation import softmax
from addapt.methods import Method
from tests.domains.domain_cases import INFO, contents
from tests.fake_engine import FakeEngine, FakeModel
from tests.faults import ERRORS, failing, watched

ARRAYS = {
    "head.weight": np.linspace(-1, 1, 36, dtype=np.float32).reshape(3, 12),
    "head.bias": np.zeros(3, np.float32),
}
OLDER = b"an older file"


class ExportingModel(FakeModel):
    """Writes what it is told, and computes its probabilities plus errors."""

    errors = dict.fromkeys((1, 3), 0.0)  # by the number of images
    meanwhile: Callable[[], object] = staticmethod(lambda: None)

    def write_onnx(
        self,
        file: Path,
        image_px: int,
        description: str,
        texts: Mapping[str, str],
        signature: Signature | None,
    ) -> Callable[[Images], tuple[Probabilities, None]]:
        content = {"image_px": image_px, "description": description, "texts": dict(texts)}
        write_atomically(file, json.dumps(content).encode())
        self.meanwhile()
        return lambda images: (
            softmax(self.logits(images)) + np.float32(self.errors[len(images)]),
            None,
        )


class ExportingEngine(FakeEngine):
    def load_model(
        self,
        method: Method,
        classes: int,
        stored: Mapping[str, npt.NDArray[Any]],
        gates: GateConfig | None = None,
    ) -> FakeModel:
        model = ExportingModel(self, classes, gates)
        model.load_state(stored)
        return model


@pytest.fixture
def learner(tmp_path: Path) -> Learner:
    """Return one with the domain "x"."""
    learner = Learner(ExportingEngine(), tmp_path / "store")
    (tmp_path / "out").mkdir()
    save(learner)
    return learner


def save(learner: Learner, **changes: Any) -> None:
    own = learner.engine.backbone
    info = replace(
        INFO,
        backbone=own.name,
        weights_sha256=own.weights_sha256,
        method="head",
        hyperparameters={},
        image_px=40,
    )
    learner.store.save("x", replace(info, **changes), ARRAYS)


def gated(config: GateConfig) -> dict[str, Any]:
    looks = Looks(32, 0.9, 0.2) if config.looks_twice else None
    return gates_fields(config, 64, GateReport(0.4, 0.9, None, ()), looks)


def test_what_the_file_says(
    learner: Learner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    file = tmp_path / "out" / "x.onnx"
    report = learner.export("x", str(file))
    assert (report.domain, report.file, report.file_bytes) == ("x", file, file.stat().st_size)
    assert (report.classes, report.image_px, report.interpolation, report.difference) == (
        INFO.classes,
        40,
        "bicubic",
        0,
    )
    said = json.loads(file.read_bytes())
    assert said["image_px"] == 40
    assert "'x'" in said["description"] and "(n, 40, 40, 3)" in said["description"]
    texts = said["texts"]
    assert tuple(json.loads(texts.pop("classes"))) == INFO.classes
    assert "as Pillow's Image.resize does" in texts.pop("resizing")
    assert texts.pop("addapt_version")
    assert texts == {
        "domain": "x",
        "image_px": "40",
        "interpolation": "bicubic",
        "value_range": "[0, 1023]",
        "scaling": "grey values deeper than 8 bits are scaled so that 0 becomes 0 and 1023 becomes "
        "255, cut off at both ends and rounded, before the image is resized",
        "method": "head",
        "backbone": "fake",
        "weights_sha256": "f" * 64,
        "val_accuracy": "0.9",
        "learned": INFO.date,
        "created": "1970-01-01T00:00:00+00:00",
    }
    first = file.read_bytes()
    learner.export("x", file, overwrite=True)
    assert contents(tmp_path / "out") == {"x.onnx": first}


def test_texts_of_strangers_are_safe(learner: Learner, tmp_path: Path) -> None:
    save(learner, date="now\udc80\x1b[2J")
    learner.export("x", tmp_path / "x.onnx")
    assert json.loads((tmp_path / "x.onnx").read_bytes())["texts"]["learned"] == r"now\udc80\x1b[2J"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x.pb", "must end in .onnx, such as x.onnx"),
        (".onnx", "must end in .onnx"),
        ("nowhere/x.onnx", "does not exist: make it first"),
        ("there.onnx", "There is a file .*there.onnx already.*`overwrite=True`"),
        ("link.onnx", "There is a file"),
        ("folder.onnx", "is a folder"),
        ("x" * 300 + ".onnx", "x.onnx could not be written because File name too long"),
    ],
)
def test_places_that_are_refused(learner: Learner, tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "out" / "there.onnx").write_bytes(OLDER)
    (tmp_path / "out" / "link.onnx").symlink_to("nothing")
    (tmp_path / "out" / "folder.onnx").mkdir()
    before = contents(tmp_path)
    with pytest.raises(AddaptError, match=message):
        learner.export("x", tmp_path / "out" / name)
    assert contents(tmp_path) == before


def test_domains_that_are_refused(learner: Learner, tmp_path: Path) -> None:
    file = tmp_path / "x.onnx"
    with pytest.raises(UnknownNameError, match="Unknown domain 'y'"):
        learner.export("y", file)
    for gates in (GateConfig(BLOCKS), GateConfig(RESOLUTION, dynamic=True)):
        save(learner, gates=gated(gates))
        with pytest.raises(OptionError, match=f"'x' cannot be exported, as it has {gates.words}"):
            learner.export("x", file)
    save(learner)
    with pytest.raises(OptionError, match='cannot export domains: give `engine="onnx"`'):
        Learner(FakeEngine(), learner.store.folder).export("x", file)
    assert not file.exists()


def test_with_smaller_images(learner: Learner, tmp_path: Path) -> None:
    save(learner, gates=gated(GateConfig(RESOLUTION)))
    assert learner.export("x", tmp_path / "x.onnx").image_px == 40


@pytest.mark.parametrize("error", [1e-4, -1e-4, math.nan])
@pytest.mark.parametrize("images", [1, 3])
def test_a_file_that_computes_something_else(
    learner: Learner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: int, error: float
) -> None:
    monkeypatch.setitem(ExportingModel.errors, images, error)
    file = tmp_path / "out" / "x.onnx"
    with pytest.raises(DomainError, match=r"x\.onnx was not written.*differ by (1\.0e-04|nan)"):
        learner.export("x", file)
    assert contents(tmp_path / "out") == {}
    file.write_bytes(OLDER)
    with pytest.raises(DomainError, match="was not written"):
        learner.export("x", file, overwrite=True)
    assert contents(tmp_path / "out") == {"x.onnx": OLDER}
    monkeypatch.setitem(ExportingModel.errors, images, error / 100)
    if not math.isnan(error):
        assert learner.export("x", file, overwrite=True).difference == pytest.approx(1e-6, abs=1e-7)


def test_another_program_is_quicker(
    learner: Learner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "out" / "x.onnx"
    monkeypatch.setattr(ExportingModel, "meanwhile", staticmethod(lambda: file.write_bytes(OLDER)))
    with pytest.raises(OptionError, match="already"):
        learner.export("x", file)
    assert contents(tmp_path / "out") == {"x.onnx": OLDER}


@pytest.mark.parametrize("error", ERRORS)
def test_whatever_the_disk_refuses(
    learner: Learner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    folder = tmp_path / "out"
    file = folder / "x.onnx"
    with watched(folder, lambda call, number: None) as calls:
        learner.export("x", file)
    assert calls["mkdir"] == calls["open"] == calls["rmdir"] == 1 and calls["rename"] == 2
    new = contents(folder)
    for call, times in calls.items():
        for number in range(1, times + 1):
            shutil.rmtree(folder)
            folder.mkdir()
            file.write_bytes(OLDER)
            refused = None
            with failing(folder, call, number, error):
                try:
                    learner.export("x", file, overwrite=True)
                except DomainError as caught:
                    refused = str(caught)
            if refused is None:
                assert contents(folder) == new
            else:
                assert f"{file} could not be written because" in refused
                assert contents(folder) == {"x.onnx": OLDER}
