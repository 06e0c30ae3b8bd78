"""How classes did: which are the weakest, and their chart from two classes to hundreds."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from addapt.cli.confusion import draw_confusion
from addapt.cli.per_class import draw_per_class, weakest_first
from addapt.images import Sample, Samples
from addapt.learning import ClassScore, Evaluation, ImageScores


def evaluation_of(classes: list[str], images: list[int], correct: list[int]) -> Evaluation:
    """Make one of the counts; what was not recognised was taken for the first class or second."""
    labels = np.repeat(np.arange(len(classes)), images)
    rank = np.concatenate([np.arange(n) for n in images])
    predicted = np.where(rank < np.repeat(correct, images), labels, (labels == 0).astype(np.int64))
    scores = ImageScores(
        Samples.of(Sample(Path(f"{i}.jpg"), int(label)) for i, label in enumerate(labels)),
        classes,
        predicted.astype(np.int32),
        np.ones(len(labels), np.float32),
    )
    return Evaluation(
        domain="$many$",
        accuracy=sum(correct) / sum(images),
        images=sum(images),
        per_class=tuple(
            ClassScore(label, n, right, right / n if n else None)
            for label, n, right in zip(classes, images, correct, strict=True)
        ),
        per_image=scores,
        confusion=scores.confusion(),
        unreadable=(),
    )


def test_the_weakest_come_first_and_what_has_no_images_not_at_all() -> None:
    evaluation = evaluation_of(list("abcde"), [4, 0, 2, 8, 4], [4, 0, 1, 4, 1])
    assert [score.label for score in weakest_first(evaluation.per_class)] == ["e", "d", "c", "a"]


def test_a_chart_names_classes_and_counts(tmp_path: Path) -> None:
    names = ["a $\\frac$ \x1b[31m", "日本語", "x" * 300, "absent"]
    chart = tmp_path / "chart.svg"
    draw_per_class(evaluation_of(names, [4, 5, 6, 0], [1, 5, 3, 0]), chart)
    text = chart.read_text(encoding="utf-8")
    assert "\x1b" not in text
    # Matplotlib writes texts as outlines, and what they say as a comment.
    for words in ("1 of 4", "5 of 5", "3 of 6", "without the 1 classes", r"a $\frac$ \x1b[31m"):
        assert f"<!-- {words}" in text
    assert "absent" not in text


@pytest.mark.parametrize(("classes", "widest", "highest"), [(2, 900, 400), (60, 1300, 1100)])
def test_a_chart_grows_with_the_classes_but_not_without_end(
    classes: int, widest: int, highest: int, tmp_path: Path
) -> None:
    chart, names = tmp_path / "chart.png", [f"class {k}" for k in range(classes)]
    evaluation = evaluation_of(names, [20] * classes, [k % 21 for k in range(classes)])
    draw_per_class(evaluation, chart)
    with Image.open(chart) as image:
        assert image.width <= widest and image.height <= highest
    draw_confusion(evaluation, chart)
    with Image.open(chart) as image:
        assert 400 < image.width <= 3000
