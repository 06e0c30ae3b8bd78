"""Images that are looked at once come in full batches, and nothing is decoded ahead."""

from pathlib import Path

import numpy as np
import pytest

from addapt._errors import DataError, UnknownNameError
from addapt.images import OnePass, Sample, load_images, one_pass
from addapt.images.decode_many import decode_in_order
from tests.images.test_image_set import PX, write


def collect(reading: OnePass) -> list[tuple[list[int], list[int]]]:
    return [(numbers, images[:, 0, 0, 0].tolist()) for numbers, images in reading]


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        ([], [[0, 1, 2], [3, 4, 5], [6]]),
        ([0, 3, 4], [[1, 2, 5], [6]]),
        ([1, 6], [[0, 2, 3], [4, 5]]),
        (range(7), []),
    ],
)
def test_batches_are_full_whatever_cannot_be_read(
    tmp_path: Path, broken: list[int], expected: list[list[int]]
) -> None:
    samples, told, done = write(tmp_path, 7, broken), list[str](), list[tuple[int, int]]()
    reading = OnePass(
        samples, PX, "bicubic", 3, told.append, on_progress=lambda *step: done.append(step)
    )
    assert collect(reading) == [(numbers, numbers) for numbers in expected]
    assert [message.split()[0] for message in told] == [str(samples[i].path) for i in broken]
    assert done == [(i, 7) for i in range(1, 8)]


def test_bytes_are_those_of_a_set(tmp_path: Path) -> None:
    samples = write(tmp_path, 5)
    parts = [images for _, images in OnePass(samples, PX, "bilinear", 2, list[str]().append)]
    images, _ = load_images(samples, PX, "bilinear")
    assert np.array_equal(np.concatenate(parts), images.batch(range(5)))


def test_nothing_is_decoded_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []

    def watch(paths: list[Path], *words: object) -> object:
        asked.extend(paths)
        return decode_in_order(paths, *words)  # type: ignore[arg-type]

    monkeypatch.setattr(one_pass, "decode_in_order", watch)
    samples = write(tmp_path, 6)
    seen = [len(asked) for _ in OnePass(samples, PX, "bicubic", 2, list[str]().append)]
    assert seen == [2, 4, 6]


def test_what_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no images"):
        OnePass([], PX, "bicubic", 2, list[str]().append)
    with pytest.raises(UnknownNameError, match="Did you mean 'bicubic'"):
        OnePass(write(tmp_path, 1), PX, "bicubik", 2, list[str]().append)


def test_who_refuses_ends_the_pass(tmp_path: Path) -> None:
    def refuse(message: str) -> None:
        raise DataError(message)

    with pytest.raises(DataError, match="1.png is not an image"):
        collect(OnePass(write(tmp_path, 4, [1]), PX, "bicubic", 2, refuse))


def test_too_many_or_a_whole_class_unreadable(tmp_path: Path) -> None:
    for broken, label, words in (([3, 8, 9], 0, "3 of 20"), ([7], 7, "No image of the class")):
        folder = tmp_path / words
        folder.mkdir()
        samples = write(folder, 20, broken)
        samples = [Sample(sample.path, int(i == label)) for i, sample in enumerate(samples)]
        told: list[str] = []
        reading = OnePass(samples, PX, "bicubic", 8, told.append)
        collect(reading)
        with pytest.raises(DataError, match=words):
            reading.refuse_many_unreadable(told)
