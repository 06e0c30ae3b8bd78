"""Images darker than their files' depth are learned, predicted and gone on with by one range."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from addapt import Learner
from addapt._errors import TrainingError
from addapt.engines.base import Images
from addapt.images import load_images, scan_folder
from addapt.learning import Asked, Controls, LearningStopped, Progress
from tests.fake_engine import FakeEngine, FakeModel

ASKED = Asked(method="head", epochs=4, image_px=32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write two classes that differ by where they are bright, in values of 291 to 694."""
    rng = np.random.default_rng(0)
    for label in ("left", "right"):
        (tmp_path / "images" / label).mkdir(parents=True)
        for number in range(6):
            values = rng.integers(291, 400, (40, 40))
            half = slice(0, 20) if label == "left" else slice(20, 40)
            values[:, half] = rng.integers(600, 695, (40, 20))
            values[:2, 0], values[:2, 1] = 291, 694  # outside of hot and dead pixels' share
            path = tmp_path / "images" / label / f"{number}.tif"
            Image.fromarray(values.astype(np.uint16)).save(path)
    return tmp_path / "images"


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Images]:
    """Return what models are asked about."""
    images: list[Images] = []

    def watch(name: str) -> None:
        method = getattr(FakeModel, name)

        def watched(self: FakeModel, some: Images) -> Any:
            images.extend(some)
            return method(self, some)

        monkeypatch.setattr(FakeModel, name, watched)

    watch("logits")
    watch("answers")
    return images


def test_predicting_sees_what_learning_saw(
    folder: Path, tmp_path: Path, seen: list[Images]
) -> None:
    learner = Learner(FakeEngine(), tmp_path / "s")
    report = learner.learn("cells", folder, **ASKED)
    assert report.value_range == learner.store.info("cells").value_range == (291, 694)
    samples = scan_folder(folder).samples
    images, _ = load_images(samples, 32, "bilinear", value_range=(291.0, 694.0))
    expected = images.batch(range(len(images)))
    seen.clear()
    found = learner.predict(list(samples.paths()), "cells")
    assert np.array_equal(seen, expected)
    assert [one.label for one in found] == [sample.path.parent.name for sample in samples]
    one = learner.predict([samples[7].path], "cells")  # alone it has the same range
    assert np.array_equal(seen[-1], expected[7])
    assert one[0].probability == pytest.approx(found[7].probability, abs=1e-6)
    with Image.open(samples[7].path) as opened:
        learner.predict(opened, "cells")
    assert np.array_equal(seen[-1], expected[7])
    seen.clear()
    assert learner.evaluate("cells", folder).accuracy == 1
    assert np.array_equal(seen, expected)


def test_a_domain_without_a_range_reads_as_it_always_did(
    folder: Path, tmp_path: Path, seen: list[Images]
) -> None:
    learner = Learner(FakeEngine(), tmp_path / "s")
    learner.learn("cells", folder, **ASKED)
    with learner.store.open("cells") as file:
        info, tensors = file.info, file.read()
    older = dataclasses.replace(info, schema=7, value_range=())
    learner.store.save("older", older, tensors)
    seen.clear()
    learner.predict([folder / "left" / "0.tif"], "older")
    values = np.asarray(Image.open(folder / "left" / "0.tif"))
    high = Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
    assert np.array_equal(seen[0], np.asarray(high.resize((32, 32), Image.Resampling.BILINEAR)))


def test_an_unfinished_run_goes_on_with_the_same_range_or_not_at_all(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopping(progress: Progress) -> None:
        steps.append(progress.phase == "learning")

    steps: list[bool] = []
    controls = Controls(on_progress=stopping, should_stop=lambda: sum(steps) >= 2)
    learner = Learner(FakeEngine(), tmp_path / "s")
    with pytest.raises(LearningStopped):
        learner.learn("cells", folder, controls=controls, **ASKED)
    with monkeypatch.context() as patch:
        patch.setattr("addapt.learning.lesson.find_value_range", lambda *_: (0.0, 65535.0))
        with pytest.raises(TrainingError, match="range of grey values"):
            learner.learn("cells", folder, **ASKED)
    assert learner.learn("cells", folder, **ASKED).value_range == (291, 694)
    whole = Learner(FakeEngine(), tmp_path / "whole")
    whole.learn("cells", folder, **ASKED)
    with learner.store.open("cells") as one, whole.store.open("cells") as other:
        for name, tensor in one.read().items():
            assert np.array_equal(tensor, other.read()[name])
