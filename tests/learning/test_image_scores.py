"""What was said of each image, and which mistakes were the most confident."""

from pathlib import Path

import numpy as np
import pytest

from addapt import Learner
from addapt._errors import OptionError
from addapt.images import Sample, Samples
from addapt.learning import ImageScore, ImageScores
from tests.conftest import MakeFolder
from tests.fake_engine import FakeEngine

CLASSES = ("cat", "dog", "owl")


def scores_of(labels: list[int], predicted: list[int], probability: list[float]) -> ImageScores:
    samples = Samples.of(Sample(Path(f"{i}.jpg"), label) for i, label in enumerate(labels))
    return ImageScores(
        samples, CLASSES, np.array(predicted, np.int32), np.array(probability, np.float32)
    )


def test_the_most_confident_mistakes_come_first() -> None:
    scores = scores_of([0, 0, 1, 1, 2], [0, 1, 0, 1, 1], [0.9, 0.5, 0.75, 1, 0.75])
    assert len(scores) == 5
    assert scores[1] == ImageScore(Path("1.jpg"), "cat", "dog", 0.5)
    assert [score.correct for score in scores] == [True, False, False, True, False]
    assert [score.image.stem for score in scores.mistakes(9)] == ["2", "4", "1"]
    assert list(scores.mistakes(2)) == [scores[2], scores[4]]
    assert list(scores[3:]) == [scores[3], scores[4]]
    assert scores.confusion().tolist() == [[1, 1, 0], [1, 1, 0], [0, 1, 0]]


def test_there_may_be_no_mistakes_and_no_number_below_one() -> None:
    scores = scores_of([0, 2], [0, 2], [0.9, 0.5])
    assert list(scores.mistakes(20)) == []
    for most in (0, -1):
        with pytest.raises(OptionError, match=f"The {most} most confident .* at least 1"):
            scores.mistakes(most)


def test_many_images_take_some_bytes_each() -> None:
    n = 50_000
    scores = ImageScores(
        Samples.of(Sample(Path(f"{i:06d}.jpg"), i % 3) for i in range(n)),
        CLASSES,
        np.zeros(n, np.int32),
        np.linspace(0, 1, n, dtype=np.float32),
    )
    assert scores._predicted.nbytes + scores._probability.nbytes == 8 * n
    assert [s.image.stem for s in scores.mistakes(2)] == ["049999", "049997"]


def test_an_evaluation_says_what_predicting_says(tmp_path: Path, make_folder: MakeFolder) -> None:
    learner = Learner(FakeEngine(), tmp_path / "store")
    folder = make_folder()
    learner.learn("colours", folder, method="head", epochs=30, batch=8, image_px=32)
    swapped = folder / "red" / "really-green.png"
    (folder / "green" / "0.png").rename(swapped)
    (folder / "blue" / "broken.png").write_text("this is no image")
    evaluation = learner.evaluate("colours", folder)
    images = [score.image for score in evaluation.per_image]
    assert images == sorted(folder.glob("*/[0-9r]*.png"))
    for score, prediction in zip(
        evaluation.per_image, learner.predict(images, "colours"), strict=True
    ):
        assert score.label == score.image.parent.name
        assert score.predicted == prediction.label
        assert score.probability == pytest.approx(prediction.probability, abs=1e-6)
    wrong = evaluation.mistakes(5)
    assert [(s.image, s.label, s.predicted) for s in wrong] == [(swapped, "red", "green")]
    assert np.array_equal(evaluation.per_image.confusion(), evaluation.confusion)
