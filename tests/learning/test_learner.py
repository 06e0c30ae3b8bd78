"""The learner: teaches, keeps, forgets nothing, goes on, and refuses what is wrong."""

import errno
import itertools
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from addapt import Learner
from addapt._disk import MARGIN_BYTES
from addapt._errors import DataError, DomainError, OptionError, TrainingError, UnknownNameError
from addapt.engines.torch.backbones import Backbone
from addapt.learning import Asked, ClassScore, Controls, LearningStopped, Progress
from addapt.learning.job import check_asked
from addapt.methods import Finetune, Head
from tests.conftest import MakeFolder, build_tiny_backbone
from tests.fake_engine import FakeEngine

QUICK: Asked = {"method": "head", "epochs": 2, "batch": 8, "image_px": 32}
STOP = Controls(should_stop=lambda: True)


@pytest.fixture
def learner(tmp_path: Path) -> Learner:
    return Learner(FakeEngine(), tmp_path / "store")


@pytest.fixture
def torch_learner(tiny_backbone: Backbone, tmp_path: Path) -> Learner:
    return Learner(tiny_backbone, tmp_path / "store")


def asked(**changes: Any) -> Asked:
    together: Any = {**QUICK, **changes}
    return together  # type: ignore[no-any-return]


def stop_at(step: int) -> Controls:
    steps = itertools.count(1)
    return Controls(should_stop=lambda: next(steps) >= step)


def test_learn_and_predict(
    learner: Learner, make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Head, "recipe", replace(Head.recipe, epochs=5, min_steps=60, patience=1))
    folder = make_folder()
    (folder / "red" / "broken.png").write_text("this is no image")
    events: list[Progress] = []
    controls = Controls(on_progress=events.append)
    report = learner.learn(
        "colours", folder, method="head", image_px=32, seed=2**62, controls=controls
    )
    assert report.classes == ("blue", "green", "red")
    assert (report.train_images, report.val_images) == (21, 3)
    assert len(report.unreadable) == 1 and "broken.png" in report.unreadable[0]
    assert report.file == learner.store.path("colours")
    assert report.file_bytes == report.file.stat().st_size
    assert {event.phase for event in events} == {"reading images", "learning"}
    assert events[-1].done == events[-1].total
    assert report.epochs == 30  # of two steps: few images need more passes
    assert learner.store.info("colours").seed == 2**62
    lines = learner.store.history_path("colours").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(1, 31))
    names = {path.name for path in learner.store.folder.iterdir()}
    assert names == {"colours.safetensors", "colours.history.jsonl", ".locks"}

    predictions = learner.predict([folder / "red/0.png", folder / "blue/0.png"], "colours", top=2)
    assert [p.label for p in predictions] == ["red", "blue"]
    best, second = predictions[0].top
    assert best == ("red", predictions[0].probability)
    assert best[1] >= second[1]


def test_evaluation_counts_as_a_plain_loop(learner: Learner, make_folder: MakeFolder) -> None:
    """Of a folder where most of a class lie in another."""
    folder = make_folder()
    learner.learn("colours", folder, **asked(epochs=30))
    other = make_folder("test", images=5, seed=1)
    for image in (other / "green").iterdir():
        if image.stem != "0":
            image.rename(other / "red" / f"green-{image.name}")
    (other / "blue" / "broken.png").write_text("this is no image")
    evaluation = learner.evaluate("colours", other)
    classes = ("blue", "green", "red")
    confusion = np.zeros((3, 3), np.int64)
    for image in sorted(other.glob("*/[!b]*.png")):
        predicted = learner.predict([image], "colours")[0].label
        confusion[classes.index(image.parent.name), classes.index(predicted)] += 1
    assert confusion.sum(1).tolist() == [5, 1, 9]
    assert confusion[2, 1] > 0
    assert np.array_equal(evaluation.confusion, confusion)
    assert (evaluation.images, evaluation.accuracy) == (15, confusion.trace() / 15)
    for label, row, right, score in zip(
        classes, confusion, confusion.diagonal(), evaluation.per_class, strict=True
    ):
        assert score == ClassScore(label, row.sum(), right, right / row.sum())
    assert len(evaluation.unreadable) == 1
    for image in (other / "green").iterdir():
        image.unlink()
    score = learner.evaluate("colours", other).per_class[1]
    assert (score.images, score.accuracy) == (0, None)


def test_earlier_domain_is_bit_identical_after_a_later_one(
    torch_learner: Learner, make_folder: MakeFolder
) -> None:
    learner = torch_learner
    x = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    learner.learn("first", make_folder(), **asked(method="da3"))
    assert learner.store.info("first").hyperparameters["first_block"] == 1  # spelt out
    before = learner.load("first")[1].logits(x)
    file = learner.store.path("first").read_bytes()
    later = make_folder("later", classes=("a", "b"), seed=3)
    for method in ("da3", "head", "finetune"):
        learner.learn(f"later-{method}", later, **asked(method=method))
        again = Learner(learner.engine, learner.store.folder)
        assert all(np.array_equal(of.load("first")[1].logits(x), before) for of in (learner, again))
    assert learner.store.path("first").read_bytes() == file
    anew = Learner(build_tiny_backbone(), learner.store.folder)
    assert np.array_equal(anew.load("first")[1].logits(x), before)


def test_unfinished_run_is_not_continued_with_other_options(
    learner: Learner, make_folder: MakeFolder
) -> None:
    folder = make_folder()
    with pytest.raises(LearningStopped, match="do the same again to go on"):
        learner.learn("colours", folder, controls=STOP, **QUICK)
    assert not learner.store.exists("colours")
    with pytest.raises(TrainingError, match=r"seed was 0 and now is 1.*`restart=True`"):
        learner.learn("colours", folder, **asked(seed=1))
    image = folder / "red" / "0.png"
    os.utime(image, ns=(0, image.stat().st_mtime_ns + 1))
    with pytest.raises(TrainingError, match="set of images changed"):
        learner.learn("colours", folder, **QUICK)
    image.unlink()
    with pytest.raises(TrainingError, match="set of images changed"):
        learner.learn("colours", folder, **QUICK)
    learner.learn("colours", folder, restart=True, **QUICK)
    assert learner.store.exists("colours")


def test_existing_domain_is_refused_and_kept(
    torch_learner: Learner, make_folder: MakeFolder
) -> None:
    learner, folder = torch_learner, make_folder()
    learner.learn("colours", folder, **QUICK)
    before = learner.store.path("colours").read_bytes()
    with pytest.raises(DomainError, match=r"'colours' in .* already.*`restart=True`"):
        learner.learn("colours", folder, **QUICK)
    with pytest.raises(TrainingError, match="smaller `lr`"):
        learner.learn("colours", folder, restart=True, **asked(method="da3", lr=1e30))
    assert learner.store.path("colours").read_bytes() == before
    learner.learn("colours", folder, restart=True, **asked(seed=1))
    assert learner.store.path("colours").read_bytes() != before


def test_relearning_that_was_stopped_goes_on(learner: Learner, make_folder: MakeFolder) -> None:
    folder = make_folder()
    learner.learn("colours", folder, **QUICK)
    before = learner.store.path("colours").read_bytes()
    with pytest.raises(LearningStopped, match="without `restart=True`"):
        learner.learn("colours", folder, restart=True, controls=stop_at(2), **asked(seed=1))
    assert learner.store.path("colours").read_bytes() == before
    done: list[int] = []
    controls = Controls(on_progress=lambda progress: done.append(progress.done))
    learner.learn("colours", folder, controls=controls, **asked(seed=1))
    assert done[24:] == [3, 4, 5, 6]  # after 24 images
    assert learner.store.path("colours").read_bytes() != before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "`epochs` is 0"),
        ({"batch": 0}, "`batch` is 0"),
        ({"micro_batch": 0}, "`micro_batch` is 0"),
        ({"lr": -1.0}, "`lr` is -1"),
        ({"lr": float("nan")}, "`lr` is nan"),
        ({"seed": -1}, "`seed` is -1"),
        ({"image_px": 2049}, "`image_px` is 2049"),
        ({"image_px": 16}, "`image_px` is 16: give 32 to 2048."),
        ({"val_fraction": 1.5}, "1.5"),
        ({"method": "da3"}, "engine 'fake' has no method 'da3'"),
    ],
    ids=str,
)
def test_options_that_make_no_sense(
    learner: Learner, make_folder: MakeFolder, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        learner.learn("colours", make_folder(), **asked(**options))
    assert not learner.store.folder.exists()


def test_batch_statistics_need_several_images() -> None:
    for sizes in (Asked(batch=1), Asked(micro_batch=1)):
        with pytest.raises(OptionError, match="statistics of several images"):
            check_asked(sizes, Finetune())


def test_store_that_cannot_be_written(
    learner: Learner, make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*words: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("addapt.learning.checkpoint.write_atomically", refuse)
    phases: list[str] = []
    controls = Controls(on_progress=lambda progress: phases.append(progress.phase))
    with pytest.raises(TrainingError, match=r"store/.learning/colours because .* read-only"):
        learner.learn("colours", make_folder(), controls=controls, **QUICK)
    assert "learning" not in phases  # told before the work


def test_a_disk_without_room_for_decoded_images(
    learner: Learner, make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room is left for the domain and for states of learning it, whatever the method keeps."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    monkeypatch.setattr(FakeEngine, "weights_bytes", 10**6)
    folder, controls = make_folder(images=10), Controls(cache_bytes=0)
    assert learner.learn("memory", folder, **QUICK).warnings == ()
    assert learner.learn("file", folder, controls=controls, **QUICK).warnings == ()
    usage = shutil.disk_usage(folder)._replace(free=8 * 10**6 + MARGIN_BYTES)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    (warning,) = learner.learn("anew", folder, controls=controls, **QUICK).warnings
    assert f"put aside in {learner.store.folder} because the disk is full" in warning
    contents = {learner.store.path(name).read_bytes() for name in ("memory", "file", "anew")}
    assert len(contents) == 1


def test_unknown_names(learner: Learner, make_folder: MakeFolder) -> None:
    folder = make_folder()
    learner.learn("flowers", folder, **QUICK)
    with pytest.raises(UnknownNameError, match="Did you mean 'flowers'"):
        learner.predict([folder / "red/0.png"], "flower")
    with pytest.raises(UnknownNameError, match="method 'da4'"):
        learner.learn("other", folder, method="da4")
    with pytest.raises(UnknownNameError, match="'epoch'. Did you mean 'epochs'"):
        learner.learn("other", folder, **asked(epoch=1))
    with pytest.raises(DomainError, match=r"'\.\./x'"):
        learner.learn("../x", folder, **QUICK)


def test_images_to_predict_that_cannot_be_read(learner: Learner, make_folder: MakeFolder) -> None:
    folder = make_folder()
    learner.learn("colours", folder, **QUICK)
    (folder / "text.jpg").write_text("hello")
    images = [folder / "text.jpg", folder / "red/0.png"]
    with pytest.raises(DataError, match=r"text\.jpg"):
        learner.predict(images, "colours")
    told: list[str] = []
    predictions = learner.predict(images, "colours", on_unreadable=told.append)
    assert [p.image for p in predictions] == images[1:]
    assert "text.jpg" in told[0]
    assert learner.predict(images[:1], "colours", on_unreadable=told.append) == []


def test_places_that_would_fail_later_are_refused_at_once(
    learner: Learner, make_folder: MakeFolder
) -> None:
    folder = make_folder()
    learner.learn("colours", folder, **QUICK)
    read: list[Progress] = []
    controls = Controls(on_progress=read.append)
    with pytest.raises(DomainError, match="only in letter case"):
        learner.learn("Colours", folder, controls=controls, **QUICK)
    inside = Learner(learner.engine, folder / "domains")
    with pytest.raises(OptionError, match=r"inside the folder of images.*`store`"):
        inside.learn("colours", folder, controls=controls, **QUICK)
    assert not read


def test_one_unreadable_image_may_be_the_whole_validation_of_its_class(
    learner: Learner, make_folder: MakeFolder
) -> None:
    folder = make_folder(images=6)
    for label in ("blue", "green", "red"):
        for i in range(6):
            place = folder / ("val" if i == 0 else "train") / label / f"{i}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            (folder / label / f"{i}.png").rename(place)
        (folder / label).rmdir()
    (folder / "val" / "red" / "0.png").write_text("no image")
    report = learner.learn("colours", folder, **QUICK)
    assert (report.train_images, report.val_images) == (15, 2)
