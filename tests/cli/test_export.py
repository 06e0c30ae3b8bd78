"""`addapt export`: what it writes and prints, and what it refuses."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from addapt.domains import Store
from addapt.engines import open_engine
from tests.cli.conftest import refused, run, run_json, said
from tests.domains.domain_cases import INFO


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store of a domain."""
    folder = tmp_path_factory.mktemp("store")
    own = open_engine(engine="onnx").backbone
    info = replace(
        INFO, weights_sha256=own.weights_sha256, method="head", hyperparameters={}, image_px=32
    )
    head = {
        "head.weight": np.linspace(-1, 1, 3 * 1280, dtype=np.float32).reshape(3, 1280),
        "head.bias": np.zeros(3, np.float32),
    }
    Store(folder).save("flowers", info, head)
    return folder


def test_export(store: Path, tmp_path: Path) -> None:
    file = tmp_path / "flowers.onnx"
    words = ("export", "flowers", file, "--store", store, "--threads", "1")
    report = run_json(*words)
    assert report.pop("difference") <= 1e-5
    assert report == {
        "domain": "flowers",
        "file": str(file),
        "file_bytes": file.stat().st_size,
        "classes": list(INFO.classes),
        "image_px": 32,
        "interpolation": "bicubic",
    }
    assert onnxruntime.InferenceSession(file).get_inputs()[0].shape == ["n", 32, 32, 3]

    file.write_bytes(b"mine")
    message = refused(*words)
    assert "flowers.onnx already" in message and "replace it with --overwrite" in message
    assert file.read_bytes() == b"mine"
    shown = said(*words, "--overwrite")
    assert "Exported flowers: 3 classes, images of 32 px" in shown
    assert file.stat().st_size == report["file_bytes"]
    assert [path.name for path in tmp_path.iterdir()] == ["flowers.onnx"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("flower", "x.onnx"), "Did you mean 'flowers'"),
        (("flowers", "x.tflite"), "must end in .onnx"),
        (("flowers", "nowhere/x.onnx"), "does not exist: make it first"),
        (("flowers", "x.onnx", "--weights", "none.pth"), "none.pth"),
    ],
)
def test_what_is_refused(
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refused("export", *words, "--store", store)
    assert list(tmp_path.iterdir()) == []


def test_the_file_may_not_be_left_out(store: Path) -> None:
    result = run("export", "flowers", "--store", store)
    assert result.exit_code == 2
    assert "FILE.onnx" in result.stderr
