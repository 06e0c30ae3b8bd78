"""Into how many steps and micro-batches images are split."""

from pathlib import Path

import pytest

from addapt import Backbone, Learner
from addapt.engines.base import Images, Labels
from addapt.engines.torch.model import TorchModel
from addapt.learning.job import parts_of
from addapt.methods import Finetune, Head, Method
from tests.conftest import write_images


@pytest.mark.parametrize(
    ("images", "size", "parts", "with_statistics"),
    [(1, 8, 1, 1), (8, 8, 1, 1), (9, 8, 2, 2), (16, 8, 2, 2), (5, 2, 3, 2), (3, 2, 2, 1)],
)
def test_parts(images: int, size: int, parts: int, with_statistics: int) -> None:
    assert parts_of(images, size, statistics=False) == parts
    assert parts_of(images, size, statistics=True) == with_statistics


@pytest.mark.parametrize(
    ("method", "images", "batch", "micro_batch", "sizes"),
    [
        (Finetune(), 5, 2, 2, [3, 2]),  # no part of a single image: its statistics would be poor
        (Finetune(), 9, 9, 8, [5, 4]),
        (Head(), 5, 2, 2, [2, 2, 1]),
    ],
)
def test_odd_numbers_of_images(
    tiny_backbone: Backbone,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: Method,
    images: int,
    batch: int,
    micro_batch: int,
    sizes: list[int],
) -> None:
    learned: list[int] = []
    step = TorchModel.step

    def watch(self: TorchModel, images: Images, labels: Labels, *, batch: int) -> float:
        learned.append(len(images))
        return step(self, images, labels, batch=batch)

    monkeypatch.setattr(TorchModel, "step", watch)
    for seed, (part, count) in enumerate((("train", images), ("val", 2))):
        write_images(tmp_path / "images" / part, "a", count - 1, 40, seed)
        write_images(tmp_path / "images" / part, "b", 1, 40, 2 + seed)
    report = Learner(tiny_backbone, tmp_path / "s").learn(
        "x",
        tmp_path / "images",
        method=method,
        epochs=1,
        batch=batch,
        micro_batch=micro_batch,
        image_px=32,
    )
    assert report.train_images == images
    assert learned == sizes
