"""What is missing or too old is told in one sentence."""

import re
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from addapt._errors import MissingPackageError
from addapt.engines import installed, open_engine
from addapt.engines.installed import MINIMUM_RUNTIME, require_runtime, require_torch

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


@pytest.mark.parametrize("found", ["1.20", "1.20.1", "1.31.1", "2.0.0rc1", "1.21.0.dev2"])
def test_new_enough(found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "version", lambda name: found)
    require_runtime()


@pytest.mark.parametrize("found", ["1.19.2", "1.3.0", "0.9"])
def test_too_old(found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "version", lambda name: found)
    with pytest.raises(MissingPackageError, match=f"{MINIMUM_RUNTIME} or newer, and {found} is"):
        open_engine(engine="onnx")


def test_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match="not installed: pip install onnxruntime"):
        open_engine()


def test_another_build_of_it_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(installed, "version", version)
    require_runtime()


def test_the_same_is_installed() -> None:
    declared = re.findall(r'"onnxruntime>=([0-9.]+)"', PYPROJECT.read_text(encoding="utf-8"))
    assert declared == [MINIMUM_RUNTIME]


def test_pytorch() -> None:
    require_torch("these tests")


@pytest.mark.usefixtures("without_torch")
def test_no_pytorch() -> None:
    with pytest.raises(MissingPackageError, match="is needed for these tests: pip install"):
        require_torch("these tests")
