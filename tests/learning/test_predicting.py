"""Recognising images of any kind and number: lazily, one after another, and told what is wrong."""

import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from addapt import GateConfig, Learner, Watching
from addapt._errors import DataError, OptionError, UnknownNameError
from addapt.learning import Asked, Prediction, gating
from tests.conftest import MakeFolder
from tests.fake_engine import FakeEngine, FakeModel

QUICK: Asked = {"method": "head", "epochs": 2, "batch": 8, "image_px": 32}


@pytest.fixture
def folder(make_folder: MakeFolder) -> Path:
    return make_folder()


@pytest.fixture
def learner(tmp_path: Path, folder: Path) -> Learner:
    """Return one that has learned the colours."""
    learner = Learner(FakeEngine(), tmp_path / "store")
    learner.learn("colours", folder, **QUICK)
    return learner


def answers(predictions: list[Prediction]) -> list[tuple[object, str]]:
    return [(prediction.image, prediction.label) for prediction in predictions]


def test_paths_images_of_pillow_and_arrays_together(learner: Learner, folder: Path) -> None:
    red, blue = folder / "red/0.png", folder / "blue/0.png"
    with Image.open(blue) as opened:
        pixels = np.asarray(opened)
        given: list[Any] = [red, opened, str(blue), pixels, pixels[..., ::-1]]
        found = learner.predict(given, "colours")
    assert answers(found) == [(red, "red"), (1, "blue"), (blue, "blue"), (3, "blue"), (4, "red")]
    assert found[1].top == found[2].top == found[3].top
    assert learner.predict(np.stack([pixels] * 3), "colours")[2].image == 2
    for one in (red, str(red), pixels, Image.fromarray(pixels)):
        assert len(learner.predict(one, "colours")) == 1
    assert learner.predict([], "colours") == []


def test_an_iterator_is_answered_one_by_one(learner: Learner, folder: Path) -> None:
    said: list[str] = []

    def camera() -> Iterator[Path]:
        for label in ("red", "green", "blue"):
            said.append(f"seen {label}")
            yield folder / label / "0.png"

    for prediction in learner.predict_each(camera(), "colours"):
        said.append(prediction.label)
    assert said == ["seen red", "red", "seen green", "green", "seen blue", "blue"]


def test_the_first_of_many_is_not_kept_waiting(
    learner: Learner, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, model = learner.load("colours")
    logits, sizes = model.logits, list[int]()

    def watched(images: Any) -> Any:
        sizes.append(len(images))
        return logits(images)

    monkeypatch.setattr(model, "logits", watched)
    coming = learner.predict_each([folder / "red/0.png"] * 20, "colours")
    next(coming)
    assert sizes == [1]
    assert len(list(coming)) == 19
    assert sizes == [1, 7, 8, 4]


def test_of_many_images_few_are_kept(learner: Learner) -> None:
    kept: list[weakref.ref[Any]] = []
    most = 0

    def camera() -> Iterator[Any]:
        for _ in range(40):
            frame = np.zeros((9, 9, 3), np.uint8)
            kept.append(weakref.ref(frame))
            yield frame

    for _ in learner.predict_each(camera(), "colours"):
        most = max(most, sum(frame() is not None for frame in kept))
    assert len(kept) == 40
    assert most <= 3


def test_what_cannot_be_asked_is_told_at_once(learner: Learner, folder: Path) -> None:
    images = [folder / "red/0.png"]
    with pytest.raises(OptionError, match="The top 0 classes"):
        learner.predict_each(images, "colours", top=0)
    with pytest.raises(UnknownNameError, match="Did you mean 'colours'"):
        learner.predict_each(images, "colour")
    with pytest.raises(OptionError, match="has no gates"):
        next(learner.predict_each(images, "colours", gates=True))


def test_images_that_cannot_be_used_are_told_and_the_numbers_stay(
    learner: Learner, folder: Path
) -> None:
    pixels = np.asarray(Image.open(folder / "red/0.png"))
    given: list[Any] = [pixels] * 12
    given[1], given[9] = folder / "none.png", pixels.astype(float)
    told: list[str] = []
    found = learner.predict(given, "colours", on_unreadable=told.append)
    assert [prediction.image for prediction in found] == [0, 2, 3, 4, 5, 6, 7, 8, 10, 11]
    assert [message.split(" is ")[0].split(" does ")[0] for message in told] == [
        f"The image {folder / 'none.png'}",
        "Image number 9, counted from 0,",
    ]
    with pytest.raises(DataError, match=r"none\.png does not exist"):
        learner.predict(given, "colours")


def test_two_streams_of_a_gated_domain_do_not_disturb_each_other(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADDAPT_CACHE", str(tmp_path / "cache"))
    learner = Learner(FakeEngine(), tmp_path / "store")
    asked: Any = {"method": "head", "epochs": 1, "gates": GateConfig("blocks", True, 0.7)}
    learner.learn("gated", folder, **asked)
    _, model = learner.load("gated")
    assert isinstance(model, FakeModel)
    active: list[bool] = []
    logits = model.logits

    def watched(images: Any) -> Any:
        active.append(model.gates.active)  # type: ignore[union-attr]
        return logits(images)

    monkeypatch.setattr(model, "logits", watched)
    images = [folder / "red/0.png"] * 2
    with_gates = learner.predict_each(iter(images), "gated", gates=True)
    without = learner.predict_each(iter(images), "gated", gates=False)
    for _ in range(2):
        assert (next(with_gates).gated, next(without).gated) == (True, False)
    assert active == [True, False] * 2


def test_gates_are_tried_with_the_first_of_an_iterator(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADDAPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(gating, "time_in_turns", lambda *_: (1.0, 2.0))
    learner = Learner(FakeEngine(), tmp_path / "store")
    asked: Any = {"method": "head", "epochs": 1, "gates": GateConfig("blocks", True, 0.7)}
    learner.learn("gated", folder, **asked)
    found = list(learner.predict_each(iter(sorted((folder / "red").iterdir())), "gated"))
    assert len(found) == 8
    assert {prediction.gated for prediction in found} == {True}


def test_watching_what_a_program_gives(learner: Learner, folder: Path) -> None:
    pixels = {label: np.asarray(Image.open(folder / label / "0.png")) for label in ("red", "blue")}
    told: list[str] = []
    frames: list[Any] = [pixels["red"], pixels["red"], np.zeros((2, 2, 3)), pixels["blue"]]
    how = Watching(smooth_s=0, above=0.4)
    found = list(learner.watch(iter(frames), "colours", watching=how, on_notice=told.append))
    assert [(answer.frame, answer.label) for answer in found] == [
        (0, "red"),
        (1, "red"),
        (3, "blue"),
    ]
    assert [answer.recognised for answer in found] == [True, False, True]
    assert len(told) == 1 and "Image number 2" in told[0]
    probable = learner.predict(pixels["blue"], "colours")[0].probability
    assert found[-1].probability == pytest.approx(probable)


def test_watching_what_is_not_there(learner: Learner) -> None:
    with pytest.raises(UnknownNameError, match="colour"):
        learner.watch(0, "colour")
    with pytest.raises(DataError, match="nowhere"):
        learner.watch("nowhere.mp4", "colours")
