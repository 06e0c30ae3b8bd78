"""A domain to write and read, for the tests of this folder."""

import torch
from torch import Tensor

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
    epochs=5,
    options={"batch": 16, "lr": 1e-3, "flip": True, "crop": [0.8, 1]},
    gates={},
    versions={"addapt": "0.1.0", "torch": "2.13.0", "python": "3.11.7"},
    date="2026-01-31T12:00:00Z",
)


def tensors() -> dict[str, Tensor]:
    """Return tensors that are hard to write: shared, transposed, empty, trained, single."""
    grid = torch.arange(6.0).reshape(2, 3)
    return {
        "b.weight": grid,
        "b.transposed": grid.t(),
        "a.empty": torch.zeros(0, 4),
        "a.trained": torch.ones(3, requires_grad=True),
        "steps": torch.tensor(7),
        "mask": torch.tensor([True, False]),
    }
