"""Rare classes: lifted, told about, and left alone where classes are even."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from addapt import Learner
from addapt._errors import TrainingError, UnknownNameError
from addapt.engines.base import Labels
from addapt.learning import Controls, LearningStopped
from addapt.learning.balance import (
    STRENGTH,
    UNEVEN_RATIO,
    class_lift,
    imbalance_warning,
    lifted,
    settle_balance,
    unevenness,
)
from addapt.learning.calibration import with_temperature
from tests.conftest import write_images
from tests.fake_engine import FakeEngine

QUICK: Any = {"method": "head", "epochs": 2, "batch": 8, "image_px": 32}
Make = Callable[[int, int], Path]


def labels(*counts: int) -> Labels:
    return np.repeat(np.arange(len(counts)), counts)


@pytest.fixture
def uneven(tmp_path: Path) -> Make:
    """Return a function that writes so many images of two classes."""

    def make(common: int, rare: int) -> Path:
        write_images(tmp_path / "images", ("common",), common, 40, 0)
        write_images(tmp_path / "images", ("rare",), rare, 40, 1)
        return tmp_path / "images"

    return make


def test_the_lift_is_a_part_of_the_logarithm_of_the_ratio() -> None:
    lift = class_lift(labels(190, 10, 19), 4, 0.0)
    assert lift.dtype == np.float32
    ratios = [1, 19, 10, 1]  # nothing is known of the last one
    np.testing.assert_allclose(lift, STRENGTH * np.log(ratios), rtol=1e-6)
    assert not class_lift(labels(5, 5), 2, 0.1).any()


@pytest.mark.parametrize("ratio", [19, 1000, 10**5])
@pytest.mark.parametrize("classes", [2, 10])
def test_an_image_that_was_learned_stays_recognised(ratio: int, classes: int) -> None:
    """Label smoothing leaves some distance between logits, and the lift is smaller."""
    targets = np.full((classes, classes), 0.1 / classes) + 0.9 * np.eye(classes)
    lift = class_lift(labels(*[ratio] * (classes - 1), 1), classes, 0.1)
    assert ((np.log(targets) + lift).argmax(1) == np.arange(classes)).all()
    assert lift.max() > 1.4


def test_a_lifted_state_has_the_lift_in_its_heads_bias() -> None:
    state = {"a": np.ones(3, np.float32), "head.bias": np.ones(2, np.float32)}
    found = lifted(state, np.array([0, 0.5], np.float32))
    assert found["head.bias"].tolist() == [1, 1.5]
    assert found["head.bias"].dtype == np.float32
    assert found["a"] is state["a"]
    assert state["head.bias"].tolist() == [1, 1]
    assert lifted(state, None) == state


def test_auto_lifts_where_classes_are_very_uneven() -> None:
    few = 10
    assert not settle_balance("auto", labels(round(UNEVEN_RATIO * few), few))
    assert settle_balance("auto", labels(round(UNEVEN_RATIO * few) + 1, few))
    assert not settle_balance("off", labels(100, 1))
    assert settle_balance("on", labels(5, 5))
    assert unevenness(np.repeat([1, 4], [8, 2])) == 4  # classes without images do not count


def test_the_warning_names_both_classes_and_the_way_out() -> None:
    said = imbalance_warning(labels(9, 171), ("rare", "common"), True)
    assert "'rare' has 9 images to learn from, and 'common' has 171" in said
    assert "`balance='off'`" in said
    said = imbalance_warning(labels(9, 0, 171), ("rare", "none", "common"), False)
    assert "`balance='on'`" in said and "none" not in said
    assert not imbalance_warning(labels(9, 10), ("a", "b"), False)


def test_learning_lifts_and_warns(tmp_path: Path, uneven: Make) -> None:
    learner, folder = Learner(FakeEngine(), tmp_path / "store"), uneven(38, 4)
    report = learner.learn("on", folder, **QUICK)
    assert report.balance
    assert "'rare' has 3 images" in report.warnings[0]
    assert "of the class 'rare' there are only 4 images" in report.warnings[1]
    assert learner.store.info("on").options["balance"] is True
    off = learner.learn("off", folder, balance="off", **QUICK)
    assert not off.balance
    assert "balance='on'" in off.warnings[0]
    states = [
        with_temperature(model.state(), 1 / info.val_report["temperature"])
        for info, model in map(learner.load, ("on", "off"))
    ]
    np.testing.assert_allclose(states[0]["head.weight"], states[1]["head.weight"], rtol=1e-5)
    difference = states[0]["head.bias"] - states[1]["head.bias"]
    np.testing.assert_allclose(difference, class_lift(labels(34, 3), 2, 0.0), rtol=1e-5)


def test_the_epoch_is_chosen_by_what_is_lifted(tmp_path: Path, uneven: Make) -> None:
    """What is said of the images held out is what the saved domain says of them."""
    folder = uneven(38, 8)
    for label in ("common", "rare"):
        (folder / "train" / label).parent.mkdir(exist_ok=True)
        (folder / label).rename(folder / "train" / label)
    write_images(folder / "val", ("common",), 6, 40, 2)
    write_images(folder / "val", ("rare",), 6, 40, 3)
    learner = Learner(FakeEngine(), tmp_path / "store")
    report = learner.learn("x", folder, **QUICK)
    evaluation = learner.evaluate("x", folder / "val")
    assert report.val_accuracy == evaluation.accuracy
    assert report.val_report["balanced_accuracy"] == evaluation.balanced_accuracy
    assert report.val_report["weakest"]["correct"] == evaluation.weakest.correct


def test_even_classes_are_left_alone(tmp_path: Path, uneven: Make) -> None:
    learner = Learner(FakeEngine(), tmp_path / "store")
    report = learner.learn("auto", uneven(12, 12), **QUICK)
    assert (report.balance, report.warnings) == (False, ())
    learner.learn("on", tmp_path / "images", balance="on", **QUICK)
    states = [learner.load(name)[1].state() for name in ("auto", "on")]
    assert all(np.array_equal(states[0][name], states[1][name]) for name in states[0])


def test_another_balance_does_not_go_on(tmp_path: Path, uneven: Make) -> None:
    learner, folder = Learner(FakeEngine(), tmp_path / "store"), uneven(38, 4)
    steps = iter([False, True])
    controls = Controls(should_stop=lambda: next(steps))
    with pytest.raises(LearningStopped):
        learner.learn("x", folder, controls=controls, **QUICK)
    with pytest.raises(TrainingError, match="balance was True and now is False"):
        learner.learn("x", folder, balance="off", **QUICK)
    assert learner.learn("x", folder, **QUICK).balance  # as auto had it


def test_no_such_balance(tmp_path: Path, uneven: Make) -> None:
    with pytest.raises(UnknownNameError, match="balance 'of'.*'off'"):
        Learner(FakeEngine(), tmp_path / "s").learn("x", uneven(5, 5), balance="of", **QUICK)


def test_the_report_says_what_the_file_says(tmp_path: Path, uneven: Make) -> None:
    learner = Learner(FakeEngine(), tmp_path / "store")
    report = learner.learn("x", uneven(38, 4), val_fraction=0.25, **QUICK)
    said = learner.store.info("x").val_report
    assert report.val_report == said
    assert said["weakest"]["images"] in (1, 10)
    assert said["interval"][0] < report.val_accuracy <= said["interval"][1]
    assert "only 4 images, 1 of them held out" in said["meaning"]
    evaluation = learner.evaluate("x", tmp_path / "images")
    shares = [score.accuracy or 0 for score in evaluation.per_class]
    assert evaluation.balanced_accuracy == pytest.approx(sum(shares) / 2)
    assert evaluation.weakest == min(evaluation.per_class, key=lambda score: score.accuracy or 0)
    assert evaluation.interval[0] < evaluation.accuracy <= evaluation.interval[1]
