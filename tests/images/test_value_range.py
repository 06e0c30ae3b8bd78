"""The range of grey values deeper than 8 bits is found from few images, and used for all."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from addapt._errors import DataError
from addapt.images import (
    ImageSet,
    OnePass,
    Sample,
    decode,
    find_value_range,
    load_images,
    value_range,
)
from addapt.images.value_range import LOOKED_AT, MEASURED

PX = 32


def grey(low: float, high: float, seed: int = 0, side: int = PX) -> npt.NDArray[np.float64]:
    """Return noise that reaches both ends, a tenth of it each."""
    noise = np.random.default_rng(seed).uniform(-0.1, 1.1, (side, side)).clip(0, 1)
    return low + noise * (high - low)


def write(
    folder: Path, arrays: Sequence[npt.NDArray[np.generic]], suffix: str = ".tif", classes: int = 2
) -> list[Sample]:
    """Write images whose classes come in turn."""
    samples = []
    for number, values in enumerate(arrays):
        path = folder / f"{number:03}{suffix}"
        Image.fromarray(values).save(path)
        samples.append(Sample(path, number % classes))
    return samples


def deep(low: float, high: float, images: int = 12) -> list[npt.NDArray[np.uint16]]:
    return [grey(low, high, seed).round().astype(np.uint16) for seed in range(images)]


def whole(images: ImageSet) -> npt.NDArray[np.uint8]:
    return images.batch(range(len(images)))


@pytest.mark.parametrize("suffix", [".tif", ".png"])
@pytest.mark.parametrize(("low", "high"), [(0, 255), (291, 694)])
def test_dark_files_get_their_full_contrast(
    tmp_path: Path, low: int, high: int, suffix: str
) -> None:
    arrays = deep(low, high)
    samples = write(tmp_path, arrays, suffix)
    found = find_value_range(samples)
    assert found == (low, high)
    expected = np.rint((np.stack(arrays) - float(low)) * 255 / (high - low)).astype(np.uint8)
    for kept_bytes in (10**9, 0):
        images, _ = load_images(samples, PX, "bicubic", kept_bytes, value_range=found)
        assert np.array_equal(whole(images)[..., 0], expected)
        assert np.array_equal(whole(images.select([3, 1]))[..., 2], expected[[3, 1]])
    reading = OnePass(samples, PX, "bicubic", 5, list[str]().append, value_range=found)
    assert np.array_equal(np.concatenate([part for _, part in reading])[..., 1], expected)
    assert whole(load_images(samples, PX, "bicubic")[0]).max() <= 694 >> 8


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ([grey(-40, 80).astype(np.int32)] * 2, (-40, 80)),
        ([grey(280.5, 310.25).astype(np.float32)] * 2, (280.5, 310.25)),
        ([grey(0, 1).astype(np.float32)] * 2, (0, 1)),
        ([grey(0.1, 0.9).astype(np.float32)], (0, 1)),  # as good as the whole range
        (deep(900, 60_000, 3), (0, 65535)),
        (deep(900, 30_000, 3), (900, 30_000)),
        (deep(100, 200, 1) + deep(300, 900, 1), (100, 900)),
        ([np.full((8, 8), 300, np.uint16), np.full((8, 8), 500, np.uint16)], (300, 500)),
        ([np.full((8, 8), 300, np.uint16)], ()),
        ([np.array([[300, 500]], np.uint16)], (300, 500)),
        ([np.full((8, 8), np.nan, np.float32)], ()),
        ([np.full((8, 8), np.inf, np.float32), grey(5, 7).astype(np.float32)], (5, 7)),
        ([np.where(grey(0, 1) < 0.5, np.nan, grey(5, 7)).astype(np.float32)], None),
    ],
)
def test_ranges(
    tmp_path: Path,
    arrays: list[npt.NDArray[np.generic]],
    expected: tuple[float, float] | tuple[()] | None,
) -> None:
    found = find_value_range(write(tmp_path, arrays))
    if expected is None:  # what is not a number counts nothing
        assert 5 <= found[0] < found[1] <= 7
    else:
        assert found == expected


def test_hot_pixels_and_images_of_one_value_count_nothing(tmp_path: Path) -> None:
    arrays = deep(291, 694, 6)
    for values in arrays[:3]:
        values[4, 5] = 65535
    arrays += [np.zeros((PX, PX), np.uint16), np.full((PX, PX), 65535, np.uint16)]
    with_lid = np.full((PX, PX), 12, np.uint16)
    with_lid[7, 7] = 65535
    assert find_value_range(write(tmp_path, [*arrays, with_lid])) == (291, 694)


def test_images_of_eight_bits_need_none(tmp_path: Path) -> None:
    arrays = [grey(0, 255, seed).astype(np.uint8) for seed in range(4)]
    for suffix in (".png", ".tif", ".pgm", ".jpg", ".bmp"):
        assert find_value_range(write(tmp_path, arrays, suffix)) == ()
    colours = [np.repeat(values[..., None], 3, 2) for values in arrays]
    assert find_value_range(write(tmp_path, colours, ".png")) == ()
    assert find_value_range([]) == ()


def test_files_of_eight_bits_by_their_names_are_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("opened")

    monkeypatch.setattr(value_range, "read_head", refuse)
    monkeypatch.setattr(value_range, "open_image", refuse)
    names = ("a.jpg", "b.JPEG", "c.webp", "d.heic", "e.gif")
    assert find_value_range([Sample(tmp_path / name, 0) for name in names]) == ()
    with pytest.raises(AssertionError, match="opened"):
        find_value_range([Sample(tmp_path / "a.png", 0)])


def test_few_are_looked_at_whatever_their_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = write(tmp_path, deep(291, 694, 1))
    many = [Sample(samples[0].path, number // 900) for number in range(1000)]
    looked, opened = list[Path](), list[Path]()

    def look(path: Path) -> bytes:
        looked.append(path)
        return decode.read_head(path)

    def open_counted(path: Path) -> AbstractContextManager[decode.OpenImage]:
        opened.append(path)
        return decode.open_image(path)

    monkeypatch.setattr(value_range, "read_head", look)
    monkeypatch.setattr(value_range, "open_image", open_counted)
    assert find_value_range(many) == (291, 694)
    assert len(looked) == LOOKED_AT
    assert len(opened) == LOOKED_AT + MEASURED


def test_a_few_deep_ones_among_others_are_found_and_of_each_class(tmp_path: Path) -> None:
    flat = write(tmp_path, [np.zeros((8, 8), np.uint8)], ".png")[0].path
    (tmp_path / "deep").mkdir()
    rare = write(tmp_path / "deep", deep(100, 200, 1) + deep(2000, 3000, 1), ".tif")
    common = rare[0].path
    samples = [Sample(flat, 0)] * 2000 + [Sample(common, 0)] * 200 + [rare[1]]
    assert find_value_range(samples) == (100, 3000)


def test_what_cannot_be_read_counts_nothing(tmp_path: Path) -> None:
    samples = write(tmp_path, deep(291, 694, 3))
    cut = tmp_path / "cut.tif"
    cut.write_bytes(samples[0].path.read_bytes()[:1500])
    (tmp_path / "text.tif").write_text("no image")
    names = ("cut.tif", "text.tif", "absent.png", "absent")
    samples += [Sample(tmp_path / name, 0) for name in names]
    assert find_value_range(samples) == (291, 694)
    with pytest.raises(DataError, match="5 of 7"):
        load_images([*samples[3:], *samples[3:4], *samples[:2]], PX, "bicubic")
