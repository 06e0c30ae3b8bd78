"""Which epoch a run keeps."""

import pytest

from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.methods import DA3, attach
from addapt.learning.loop import build_optimiser
from addapt.learning.state import EpochRecord, TrainingState, standard_error
from tests.learning.few_steps import OPTIONS


def kept_epoch(backbone: Backbone, accuracies: list[float], val_images: int) -> tuple[int, float]:
    model = attach(backbone, DA3(), classes=3)
    optimiser = build_optimiser(model, OPTIONS)
    state = TrainingState()
    for epoch, accuracy in enumerate(accuracies, 1):
        record = EpochRecord(epoch, 1.0, 1.0, accuracy, 1e-3, 1.0)
        state.end_epoch(record, model, optimiser, epoch, val_images)
    return state.best_epoch, state.best_accuracy


@pytest.mark.parametrize(
    ("accuracies", "val_images", "kept"),
    [
        ([0.5, 0.7, 0.9], 100, 3),
        ([0.5, 0.92, 0.9], 100, 3),  # 2 points are chance on 100 images,
        ([0.5, 0.92, 0.9], 10_000, 2),  # and none on 10,000
        ([0.9, 0.3, 0.2], 100, 1),
        ([0.9, 0.9, 0.9], 100, 3),
        # Not within the error of the highest, though of what was kept before.
        ([0.90, 0.88, 0.93, 0.89], 400, 3),
        ([1.0, 0.95], 20, 2),
        ([1.0, 0.7], 10, 1),
        ([1.0, 0.99], 100, 2),
        ([0.0, 0.0], 100, 2),
    ],
)
def test_the_last_epoch_within_a_standard_error_of_the_highest_is_kept(
    tiny_backbone: Backbone, accuracies: list[float], val_images: int, kept: int
) -> None:
    assert kept_epoch(tiny_backbone, accuracies, val_images) == (kept, accuracies[kept - 1])


def test_standard_error() -> None:
    assert standard_error(0.5, 10_000) == pytest.approx(0.005, rel=1e-3)
    assert standard_error(0.9, 100) == pytest.approx(0.03, rel=0.05)
    assert 0.05 < standard_error(1.0, 10) < 0.2
    assert standard_error(0.0, 10) == pytest.approx(standard_error(1.0, 10))
