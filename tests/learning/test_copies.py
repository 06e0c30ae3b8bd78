"""Copies are never learned from and checked on at once, and what is done about them is told."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from addapt._errors import DataError
from addapt.learning import Controls, Evaluation, Learner
from addapt.learning.lesson import Lesson, find_images, prepare_lesson
from tests.fake_engine import FakeEngine

Put = Callable[..., None]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Return a function that writes soft noise, which depends on a seed alone."""

    def write(name: str, seed: int, *, px: int = 40, **how: int) -> None:
        spots = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
        image = Image.fromarray(spots).resize((px, px), Image.Resampling.BICUBIC)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, **how)  # type: ignore[arg-type]

    return write


def prepared(folder: Path, seed: int = 0, val_fraction: float = 0.2) -> Lesson:
    engine = FakeEngine()
    found = find_images(folder, engine, image_px=32, val_fraction=val_fraction, gates=None)
    return prepare_lesson(found, engine, seed, Controls(cache_bytes=0))


def names(folder: Path, lesson: Lesson) -> tuple[set[str], set[str]]:
    """Return the images to learn from, and those to validate with."""
    train, val = (
        {sample.path.relative_to(folder).as_posix() for sample in part.samples}
        for part in (lesson.train, lesson.val)
    )
    return train, val


def test_no_copies_no_words(put: Put, tmp_path: Path) -> None:
    for i in range(20):
        put(f"{'ab'[i % 2]}/{i}.png", i)
    lesson = prepared(tmp_path)
    assert (lesson.copies, lesson.warnings) == (0, ())
    assert (len(lesson.train), len(lesson.val)) == (16, 4)


def test_copies_stay_on_one_side(put: Put, tmp_path: Path) -> None:
    for i in range(24):
        put(f"a/{i:02}.png", i % 6)  # each four times
        put(f"b/{i:02}.png", 100 + i)
    put("a/again.bmp", 0)  # the same pixels in another kind of file
    for seed in range(5):
        lesson = prepared(tmp_path, seed)
        train, val = names(tmp_path, lesson)
        assert len(train) + len(val) == 49
        for i in range(6):
            assert len({f"a/{i + more:02}.png" in val for more in (0, 6, 12, 18)}) == 1
        assert ("a/again.bmp" in val) is ("a/00.png" in val)
        assert lesson.copies == 19
        assert lesson.warnings == (
            "19 of 49 images are copies of others (first: a/00.png = a/06.png); copies stay on "
            "one side.",
        )
        assert lesson.fingerprint == prepared(tmp_path, seed).fingerprint


def test_a_class_of_one_image_many_times(put: Put, tmp_path: Path) -> None:
    for i in range(6):
        put(f"a/{i}.png", 0)
        put(f"b/{i}.png", 100 + i)
    with pytest.raises(DataError, match=r"a/0\.png is the only one .*, apart from 5 copies of it"):
        prepared(tmp_path)


def test_copies_in_val_are_left_out(put: Put, tmp_path: Path) -> None:
    for i in range(6):
        for label, seed in (("a", 0), ("b", 100)):
            put(f"train/{label}/{i}.png", seed + i)
            put(f"val/{label}/{i}.png", seed + i + 4)  # two of six are there to learn from
    put("val/b/again.png", 109)
    lesson = prepared(tmp_path)
    train, val = names(tmp_path, lesson)
    assert len(train) == 12
    assert val == {f"val/{c}/{i}.png" for c in "ab" for i in range(2, 6)} | {"val/b/again.png"}
    assert lesson.copies == 5
    assert lesson.warnings == (
        "4 of 13 images to validate with are copies of images to learn from (first: "
        "train/a/4.png = val/a/0.png). They are left out, for they would tell nothing.",
        "1 of 21 images are copies of others (first: val/b/5.png = val/b/again.png); each counts "
        "as often as it is there.",
    )


def test_a_val_that_is_a_copy_of_train(put: Put, tmp_path: Path) -> None:
    """The case val_duplicates."""
    for part in ("train", "val"):
        for i in range(10):
            put(f"{part}/a/{i}.png", i)
            put(f"{part}/b/{i}.png", 100 + i)
    lesson = prepared(tmp_path)
    train, val = names(tmp_path, lesson)
    assert train | val == {f"train/{c}/{i}.png" for c in "ab" for i in range(10)}
    assert (len(train), len(val), lesson.copies) == (16, 4, 20)
    assert lesson.warnings == (
        "All 20 images to validate with are copies of images to learn from (first: train/a/0.png "
        "= val/a/0.png). They are left out, for they would tell nothing.",
        "No images to validate with are left: a part of the images to learn from is held out "
        "instead.",
    )


def test_a_val_of_copies_and_nothing_to_hold_out(put: Put, tmp_path: Path) -> None:
    for part in ("train", "val"):
        put(f"{part}/a/0.png", 0)
        put(f"{part}/b/0.png", 1)
    with pytest.raises(DataError, match=r"train/a/0\.png is the only one of its class"):
        prepared(tmp_path)


def test_a_val_that_cannot_be_read_is_still_refused(put: Put, tmp_path: Path) -> None:
    for i in range(20):
        put(f"train/{'ab'[i % 2]}/{i}.png", i)
    (tmp_path / "val" / "a").mkdir(parents=True)
    (tmp_path / "val" / "a" / "0.png").write_text("text")
    with pytest.raises(DataError, match="None of the images to validate with can be read"):
        prepared(tmp_path)


def test_the_same_images_in_two_classes(put: Put, tmp_path: Path) -> None:
    """The case same_picture_two_classes."""
    for i in range(4):
        put(f"a/{i}.png", i)
        put(f"b/{i}.png", i)
    with pytest.raises(DataError) as caught:
        prepared(tmp_path)
    assert str(caught.value) == (
        "All 4 images of the class 'a' lie in another class as well. Of 4 pairs the first: "
        "a/0.png = b/0.png, a/1.png = b/1.png, a/2.png = b/2.png. Remove them where they do not "
        "belong."
    )


@pytest.mark.parametrize(("shared", "refused"), [(1, False), (2, False), (3, True)])
def test_a_tenth_of_the_smaller_class_decides(
    put: Put, tmp_path: Path, shared: int, refused: bool
) -> None:
    for i in range(60):
        put(f"large/{i:02}.png", i)
    for i in range(20):
        put(f"small/{i:02}.png", i if i < shared else 100 + i)
    if refused:
        with pytest.raises(DataError, match=r"3 of 20 images of the class 'small' lie in another"):
            prepared(tmp_path)
        return
    lesson = prepared(tmp_path)
    train, val = names(tmp_path, lesson)
    assert len(train) + len(val) == 80 - 2 * shared
    assert "small/00.png" not in train | val
    assert lesson.warnings[0].startswith(
        f"{shared} images lie in two classes (first: large/00.png = small/00.png"
    )
    assert lesson.warnings[0].endswith(
        "). They are left out in both. Remove them where they do not belong."
    )
    assert len(lesson.warnings) == 1


def test_an_image_to_learn_from_that_is_there_to_validate_another_class(
    put: Put, tmp_path: Path
) -> None:
    for i in range(20):
        for label, seed in (("a", 0), ("b", 100)):
            put(f"train/{label}/{i:02}.png", seed + i)
            if i < 5:
                put(f"val/{label}/{i:02}.png", seed + 50 + i)
    put("val/b/wrong.png", 3)
    train, val = names(tmp_path, lesson := prepared(tmp_path))
    assert (len(train), len(val)) == (39, 10)
    assert "first: train/a/03.png = val/b/wrong.png" in lesson.warnings[0]


@pytest.mark.parametrize("how", [{"px": 96}, {"quality": 70}])
def test_near_copies_are_told(put: Put, tmp_path: Path, how: dict[str, int]) -> None:
    for i in range(20):
        label, seed = "ab"[i % 2], 7 * i
        put(f"train/{label}/{i:02}.png", seed)
        # The first five are there to learn from, at another size or quality.
        put(f"val/{label}/{i:02}.jpg", seed if i < 5 else 1000 + i, **how)
    lesson = prepared(tmp_path)
    assert (len(lesson.train), len(lesson.val), lesson.copies) == (20, 20, 0)
    (said,) = lesson.warnings
    assert said.startswith(
        "5 of 20 images to validate with look like images to learn from, such as val/a/00.jpg and "
        "train/a/00.png. If they are copies at another size or quality,"
    )


def test_images_of_one_colour(put: Put, tmp_path: Path) -> None:
    for label in ("dark", "fine", "mixed"):
        for i in range(10):
            put(f"{label}/{i}.png", 100 * ord(label[0]) + i)
    for i in range(8):
        Image.new("RGB", (40 + i, 40), (i, 3, 3)).save(tmp_path / "dark" / f"{i}.png")
    for i in range(5):  # no more than half
        Image.new("L", (40, 40), 100 + i).save(tmp_path / "mixed" / f"{i}.png")
    (said,) = prepared(tmp_path).warnings
    assert said.startswith("Of one colour or nearly so are 8 of 10 images of the class 'dark'.")
    for label in ("fine", "mixed", "x", "y"):
        for i in range(10):
            (tmp_path / label).mkdir(exist_ok=True)
            Image.new("L", (40, 40), 10 * ord(label[0]) % 230 + i).save(
                tmp_path / label / f"{i}.png"
            )
    (said,) = prepared(tmp_path).warnings
    assert "'dark' and all 10 images of the class 'fine' and all 10" in said
    assert "(and of 2 classes more). Look at them: if their files are deeper" in said


def test_a_class_of_one_colour_that_is_refused_says_so(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for i in range(3):
            Image.new("RGB", (40, 40)).save(tmp_path / label / f"{i}.png")
    with pytest.raises(DataError, match=r"do not belong\. Of one colour or nearly so are all 3 im"):
        prepared(tmp_path)


@pytest.fixture
def evaluated(put: Put, tmp_path: Path) -> Callable[[], Evaluation]:
    learner = Learner(FakeEngine(), tmp_path / "store")
    for i in range(20):
        put(f"images/{'ab'[i % 2]}/{i:02}.png", i)
        put(f"others/{'ab'[i % 2]}/{i:02}.png", 100 + i)
    learner.learn("d", tmp_path / "images", method="head", epochs=1, image_px=32)
    return lambda: learner.evaluate("d", tmp_path / "others")


def test_copies_in_an_evaluation(
    put: Put, evaluated: Callable[[], Evaluation], tmp_path: Path
) -> None:
    report = evaluated()
    assert (report.copies, report.warnings) == (0, ())
    put("others/a/00.png", 102)
    put("others/b/zz.png", 102)
    (tmp_path / "others" / "a" / "04.png").write_text("text")
    report = evaluated()
    assert (report.images, len(report.unreadable), report.copies) == (20, 1, 2)
    assert report.warnings == (
        "2 of 20 images are copies of others (first: a/00.png = a/02.png); each "
        "counts as often as it is there.",
    )
