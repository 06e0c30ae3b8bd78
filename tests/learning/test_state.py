"""Which epoch a run keeps."""

import numpy as np
import pytest

from addapt.engines.base import StepSettings
from addapt.learning.scores import Scores
from addapt.learning.state import EpochRecord, TrainingState
from addapt.methods import Head
from tests.fake_engine import FakeEngine


@pytest.mark.parametrize(
    ("accuracies", "val_images", "kept"),
    [
        ([0.5, 0.7, 0.9], 100, 3),
        ([0.5, 0.92, 0.9], 100, 3),  # 2 points are chance on 100 images,
        ([0.5, 0.92, 0.87], 100, 3),  # and so are 5,
        ([0.5, 0.92, 0.9], 10_000, 2),  # and none on 10,000
        ([0.9, 0.3, 0.2], 100, 1),
        # Not within two errors of the highest, though of what was kept before.
        ([0.90, 0.88, 0.93, 0.91], 400, 4),
        ([0.91, 0.88, 0.93, 0.90], 400, 3),
        ([1.0, 0.95], 20, 2),
        ([1.0, 0.5], 10, 2),  # five images are chance among many epochs,
        ([0.8, 0.3], 10, 2),
        ([1.0, 0.4], 10, 1),  # and six are not
        ([1.0, 0.0], 2, 2),  # of so few, none can tell
        ([0.0, 0.0], 100, 2),
    ],
)
def test_the_last_epoch_is_kept_unless_an_earlier_one_is_better_by_more_than_chance(
    accuracies: list[float], val_images: int, kept: int
) -> None:
    model = FakeEngine().new_model(Head(), 3, seed=0)
    model.prepare(StepSettings(lr=1e-2))
    state = TrainingState()
    for epoch, accuracy in enumerate(accuracies, 1):
        tensors = model.state()
        tensors["head.bias"][:] = epoch
        model.load_state(tensors)
        record = EpochRecord(epoch, 1.0, 1.0, 0.5, 1e-3, 1.0, accuracy, 0, 10, 5)
        scores = Scores(np.array([val_images]), np.array([0]))
        state.end_epoch(record, model, epoch, scores)
    assert state.best_epoch == kept
    assert state.best_record.val_balanced_accuracy == accuracies[kept - 1]
    assert state.best_accuracy == 0.5  # by which none is chosen
    assert state.best["head.bias"].tolist() == 3 * [kept]
