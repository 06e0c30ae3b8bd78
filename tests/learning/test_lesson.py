"""What is refused about a folder before anything is decoded, and how images are split."""

import os
from pathlib import Path

import pytest

from addapt._errors import DataError
from addapt.learning import Controls
from addapt.learning.lesson import Lesson, find_images, prepare_lesson
from tests.conftest import MakeFolder
from tests.fake_engine import FakeEngine


def test_more_classes_than_a_domain_can_hold(
    make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("addapt.domains.info.CLASSES_LIMIT", 2)
    folder = make_folder(images=2)
    with pytest.raises(DataError, match="there are 3 classes") as caught:
        find_images(folder, FakeEngine(), image_px=32, val_fraction=0.1, gates=None)
    assert str(caught.value).startswith(f"The folder {folder} cannot be learned from. ")


def put(path: Path, value: int, blue: int | None = None) -> None:
    """Write an image whose bytes and time of change are always the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"P6 4 4 255\n" + bytes([value, value, value if blue is None else blue]) * 16)
    os.utime(path, ns=(0, 1_700_000_000_000_000_000 + 1000 * value))


def prepared(folder: Path, seed: int, cache_bytes: int) -> Lesson:
    engine = FakeEngine()
    found = find_images(folder, engine, image_px=32, val_fraction=0.2, gates=None)
    return prepare_lesson(found, engine, seed, Controls(cache_bytes=cache_bytes))


def held_out(folder: Path, lesson: Lesson) -> list[str]:
    return [sample.path.relative_to(folder).as_posix() for sample in lesson.val.samples]


@pytest.mark.parametrize("cache_bytes", [0, 20_000, 10**9])
@pytest.mark.parametrize(
    ("seed", "fingerprint", "val"),
    [
        (
            0,
            "2f2e639866c3b557aaba5a32f96fd9af264cd35e37b45dcb49ed62a275c22d1d",
            "cat/08 cat/young/00 größe/15 größe/18 größe/19 größe/24 größe/3 größe/9",
        ),
        (
            7,
            "f1a2f9568064ba39727761cd320fa5090d6491147aee5dd720110ece17ee3eaf",
            "cat/11 cat/young/06 größe/10 größe/12 größe/13 größe/21 größe/24 größe/28",
        ),
    ],
)
def test_lessons_stay_the_same_from_version_to_version(
    tmp_path: Path, seed: int, fingerprint: str, val: str, cache_bytes: int
) -> None:
    """What is left unfinished goes on with the next version."""
    for i in range(30):
        put(tmp_path / "größe" / f"{i}.ppm", i)
    for i in range(12):
        put(tmp_path / "cat" / ("young" if i % 3 == 0 else ".") / f"{i:02}.ppm", 100 + i)
    (tmp_path / "größe" / "31.ppm").write_bytes(b"text")
    lesson = prepared(tmp_path, seed, cache_bytes)
    assert held_out(tmp_path, lesson) == [f"{name}.ppm" for name in val.split()]
    assert lesson.fingerprint == fingerprint
    assert (len(lesson.train), len(lesson.unreadable)) == (34, 1)
    assert lesson.train.labels.sum() == 24
    values = lesson.train.batch(range(34))[:, 0, 0, 0].tolist()
    assert values == [int(s.path.stem) + 100 * (s.label == 0) for s in lesson.train.samples]


def test_a_folder_with_its_own_split_stays_the_same(tmp_path: Path) -> None:
    for part, images in (("train", 6), ("val", 3)):
        for label in ("a", "b"):
            for i in range(images):
                put(tmp_path / part / label / f"{i}.ppm", i + 10 * images, ord(label))
    lesson = prepared(tmp_path, 0, 0)
    assert held_out(tmp_path, lesson) == [f"val/{c}/{i}.ppm" for c in "ab" for i in range(3)]
    assert lesson.fingerprint == "43f0712aeeccb65314757fee9958ff59ec8cb111cdd1bb9594c3c9a64230de9e"
    assert lesson.val.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert len(lesson.train) == 12
