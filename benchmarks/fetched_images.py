"""Images out of packages that Python's installer does not have: fetched, then split for good."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from addapt._errors import MissingPackageError

SEED = 0

Bytes = npt.NDArray[np.uint8]


def call(words: Sequence[str], folder: str, otherwise: str) -> None:
    """Run a package manager in a folder.

    Args:
        words: the program and its arguments.
        folder: where it runs.
        otherwise: what to do without it, for the error.

    Raises:
        MissingPackageError: there is no such program here, or it fails.
    """
    if shutil.which(words[0]) is None:
        raise MissingPackageError(f"There is no {words[0]} here to fetch it with. {otherwise}")
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[0]
        raise MissingPackageError(f"{' '.join(words)} failed ({reason.rstrip('.')}). {otherwise}")


def write_splits(
    folder: Path,
    parts: Mapping[str, tuple[Bytes, npt.NDArray[np.integer[Any]]]],
    splits: Mapping[str, tuple[str, int]],
    classes: Sequence[str],
) -> None:
    """Write `folder`/SPLIT/CLASS/*.png, the same ones each time, every class as often.

    Args:
        folder: gets the splits.
        parts: images (n, h, w) or (n, h, w, 3) and labels (n,) of each part of the data set.
        splits: of each split the part it is taken from, and its images; no two share one.
        classes: names, by label.
    """
    rng = np.random.default_rng(SEED)
    orders = {
        part: [rng.permutation(np.flatnonzero(labels == k)).tolist() for k in range(len(classes))]
        for part, (_, labels) in parts.items()
    }
    for split, (part, images) in splits.items():
        for k, label in enumerate(classes):
            each = images // len(classes)
            chosen, orders[part][k] = orders[part][k][:each], orders[part][k][each:]
            (folder / split / label).mkdir(parents=True)
            for i in chosen:
                image = Image.fromarray(parts[part][0][i])
                image.save(folder / split / label / f"{i:05d}.png")
