"""The benchmarks' images: fixed splits, few a class, files of Fashion-MNIST checked."""

import gzip
import shutil
from pathlib import Path

import domains
import fashion_mnist
import numpy as np
import pytest

from addapt._errors import DataError, MissingPackageError, UnknownNameError


def write_idx(path: Path, array: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]") -> None:
    magic = 0x0800 | array.ndim
    header = b"".join(number.to_bytes(4, "big") for number in (magic, *array.shape))
    path.write_bytes(gzip.compress(header + array.tobytes()))


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a small Fashion-MNIST, every image another one."""
    monkeypatch.setattr(fashion_mnist, "SHAPES", {"train": (300, 28, 28), "t10k": (60, 28, 28)})
    splits = {"train": ("train", 120), "spare": ("train", 100), "test": ("t10k", 50)}
    monkeypatch.setattr(fashion_mnist, "SPLITS", splits)
    folder = tmp_path / "files"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for part, shape in fashion_mnist.SHAPES.items():
        images = rng.integers(0, 255, shape, dtype=np.uint8)
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", images)
        labels = (np.arange(shape[0]) % 10).astype(np.uint8)
        write_idx(folder / f"{part}-labels-idx1-ubyte.gz", labels)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.png")}


def test_fashion_mnist_has_fixed_splits_that_do_not_overlap(files: Path, tmp_path: Path) -> None:
    built = []
    for name in ("once", "again"):
        images = tmp_path / name
        fashion_mnist.fetch(images / domains.FASHION_FILES, files)
        folders = domains.domain_folders("fashion-mnist", images)
        assert folders.few is not None and folders.spare is not None
        parts = (folders.train, folders.spare, folders.test, folders.few)
        built.append([contents(part) for part in parts])
    assert built[0] == built[1]
    train, spare, test, few = built[0]
    assert [len(part) for part in built[0]] == [120, 100, 50, 100]
    pixels = [*train.values(), *spare.values(), *test.values()]
    assert len(set(pixels)) == len(pixels)
    assert few.items() < train.items()
    for path in folders.train.rglob("*.png"):
        assert fashion_mnist.CLASSES[int(path.stem) % 10] == path.parent.name
    for folder in parts[3].iterdir():
        names = sorted(path.name for path in folder.iterdir())
        assert len(names) == domains.FEW_A_CLASS
        everything = sorted(path.name for path in (folders.train / folder.name).iterdir())
        assert names != everything[: domains.FEW_A_CLASS]  # drawn, not the first of the disk


def test_files_are_checked_before_they_are_taken(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = files / "t10k-images-idx3-ubyte.gz"
    cut = gzip.compress(gzip.decompress(path.read_bytes())[:-1])
    write_idx(path, np.zeros((60, 28, 14), np.uint8))  # another shape
    for content in (path.read_bytes(), cut, b"nothing of the kind", None):
        path.unlink() if content is None else path.write_bytes(content)
        with pytest.raises(DataError, match="t10k-images-idx3-ubyte.gz"):
            fashion_mnist.fetch(tmp_path / "target", files)
        assert not (tmp_path / "target").exists()
    monkeypatch.setattr(shutil, "which", lambda program: None)
    with pytest.raises(MissingPackageError, match="--from FOLDER"):
        fashion_mnist.fetch(tmp_path / "target")


def test_domains_that_are_not_here_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert domains.available_domains(["fashion-mnist"], tmp_path) == []
    assert "domains.py fetch" in capsys.readouterr().err
    with pytest.raises(UnknownNameError):
        domains.domain_folders("fashion", tmp_path)
