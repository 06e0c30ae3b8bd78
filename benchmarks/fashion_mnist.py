"""Fashion-MNIST: from the Debian package, without root, or from a folder of the user's.

Four gzip files in the IDX format: a magic number, the sizes, then bytes. Nothing is unpickled.
"""

import gzip
import shutil
import tempfile
from pathlib import Path
from typing import Any

import fetched_images
import numpy as np
import numpy.typing as npt
from fetched_images import Bytes

from addapt._errors import DataError

PACKAGE = "dataset-fashion-mnist"
CLASSES = (
    *("t-shirt", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle-boot"),
)
SHAPES = {"train": (60_000, 28, 28), "t10k": (10_000, 28, 28)}
UNSIGNED_BYTE = 0x08
SPLITS = {"train": ("train", 1000), "spare": ("train", 1000), "test": ("t10k", 500)}
OTHERWISE = "Give a folder that has the four files with --from FOLDER."


def fetch(target: Path, source: Path | None = None) -> None:
    """Put the four files into `target`.

    Args:
        target: made if it is not there.
        source: a folder that has them; by default the Debian package is downloaded.

    Raises:
        MissingPackageError: there is no apt-get or no dpkg here, or they fail.
        DataError: a file is missing, or is not what it should be.
    """
    if source is not None:
        _take(source, target)
        return
    with tempfile.TemporaryDirectory() as work:
        fetched_images.call(["apt-get", "download", PACKAGE], work, OTHERWISE)
        (package,) = Path(work).glob("*.deb")
        fetched_images.call(["dpkg", "-x", str(package), "unpacked"], work, OTHERWISE)
        _take(Path(work) / "unpacked" / "usr" / "share" / "datasets" / "fashion-mnist", target)


def build(files: Path, folder: Path) -> None:
    """Write `folder`/{train,spare,test}/CLASS/*.png, the same ones each time."""
    parts = {part: (_images(files, part), _labels(files, part)) for part in SHAPES}
    fetched_images.write_splits(folder, parts, SPLITS, CLASSES)


def _take(source: Path, target: Path) -> None:
    for part in SHAPES:
        _images(source, part)
        _labels(source, part)
    target.mkdir(parents=True, exist_ok=True)
    for part in SHAPES:
        for name in (_image_file(part), _label_file(part)):
            shutil.copyfile(source / name, target / name)


def _images(folder: Path, part: str) -> Bytes:
    return read_idx(folder / _image_file(part), SHAPES[part])


def _labels(folder: Path, part: str) -> Bytes:
    labels = read_idx(folder / _label_file(part), SHAPES[part][:1])
    if labels.max() >= len(CLASSES):
        raise DataError(f"{folder / _label_file(part)} has a label {labels.max()}: 0 to 9 belong.")
    return labels


def _image_file(part: str) -> str:
    return f"{part}-images-idx3-ubyte.gz"


def _label_file(part: str) -> str:
    return f"{part}-labels-idx1-ubyte.gz"


def read_idx(path: Path, shape: tuple[int, ...]) -> Bytes:
    """Read an IDX file of unsigned bytes.

    Raises:
        DataError: it is missing, or not of this shape.
    """
    try:
        with gzip.open(path) as stream:
            content = stream.read()
    except (OSError, EOFError) as error:
        raise DataError(
            f"{path} cannot be read ({error}). Get it again: python benchmarks/domains.py fetch"
        ) from error
    header = 4 * (1 + len(shape))
    numbers: npt.NDArray[Any] = np.frombuffer(content[:header], dtype=">u4")
    expected = [UNSIGNED_BYTE << 8 | len(shape), *shape]
    if numbers.tolist() != expected or len(content) != header + int(np.prod(shape)):
        raise DataError(
            f"{path} begins with {numbers.tolist()} and has {len(content)} bytes, but an IDX file "
            f"of shape {shape} begins with {expected}. Get it again: "
            "python benchmarks/domains.py fetch"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)
