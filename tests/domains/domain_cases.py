"""A domain to write and read, for the tests of this folder."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from addapt.domains.info import SCHEMA, DomainInfo

INFO = DomainInfo(
    schema=SCHEMA,
    backbone="efficientnet_lite0",
    weights_sha256="1a2b3c" + "0" * 58,
    method="da3",
    hyperparameters={"grid": 8, "groups": 2, "start": None},
    classes=("daisy", "tulipán", "ωμέγα \udc80"),
    image_px=128,
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.25, 0.125),
    interpolation="bicubic",
    seed=-1,
    train_images=90,
    val_images=10,
    val_accuracy=0.9,
    val_report={
        "balanced_accuracy": 0.85,
        "weakest": {"label": "tulipán", "images": 2, "correct": 1},
        "interval": [0.596, 0.982],
        "meaning": "little",
    },
    value_range=(0, 1023),
    epochs=5,
    options={"batch": 16, "lr": 1e-3, "flip": True, "crop": [0.8, 1]},
    gates={},
    signature={},
    versions={"addapt": "0.1.0", "torch": "2.13.0", "python": "3.11.7"},
    date="2026-01-31T12:00:00Z",
)


def tensors() -> dict[str, NDArray[Any]]:
    """Return tensors that are hard to write: shared, transposed, empty, single."""
    grid = np.arange(6, dtype=np.float32).reshape(2, 3)
    return {
        "b.weight": grid,
        "b.transposed": grid.T,
        "a.empty": np.zeros((0, 4), np.float32),
        "steps": np.array(7),
        "mask": np.array([True, False]),
    }


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files but the locks, which are empty and stay."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
