"""Images keep their order and bytes however they are kept; broken ones are left out, or refuse.

Images here are plain colours whose red value is their number, unless said otherwise.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from addapt._errors import DataError, OptionError, UnknownNameError
from addapt.images.image_set import auto_image_px, load_images, resize_images
from addapt.images.samples import Sample

PX = 8
IMAGE_BYTES = 3 * PX * PX


def write(
    folder: Path, count: int, broken: Sequence[int] = (), size: tuple[int, int] = (12, 10)
) -> list[Sample]:
    """Write `count` images of two classes in turn; those numbered in `broken` hold text."""
    samples = []
    for i in range(count):
        path = folder / f"{i}.png"
        if i in broken:
            path.write_text("text")
        else:
            Image.new("RGB", size, (i, 0, 0)).save(path)
        samples.append(Sample(path, i % 2))
    return samples


def write_noise(folder: Path, sizes: Sequence[tuple[int, int]]) -> list[Sample]:
    rng = np.random.default_rng(0)
    samples = []
    for i, (width, height) in enumerate(sizes):
        path = folder / f"{i}.png"
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)
        samples.append(Sample(path, i % 2))
    return samples


@pytest.mark.parametrize("cache_bytes", [10**6, 0])
def test_a_set_made_smaller(tmp_path: Path, cache_bytes: int) -> None:
    """Whether its images are kept or decoded anew each time."""
    loaded, _ = load_images(write_noise(tmp_path, [(40, 30)] * 4), 20, "bicubic", cache_bytes)
    small = loaded.resized(PX)
    assert (small.px, loaded.px, len(small)) == (PX, 20, 4)
    expected = resize_images(loaded.batch([1, 3]), PX, "bicubic")
    assert expected.shape == (2, PX, PX, 3)
    assert np.array_equal(small.batch([1, 3]), expected)
    assert np.array_equal(small.select([3]).batch([0]), expected[1:])
    assert resize_images(expected, PX, "bicubic") is expected


def test_images_made_smaller_are_averaged() -> None:
    halves = np.zeros((1, 20, 20, 3), np.uint8)
    halves[:, :, ::2] = 200
    for interpolation in ("bicubic", "bilinear"):
        inner = resize_images(halves, 5, interpolation)[:, :, 1:-1]
        assert inner.min() == inner.max() == 100


def test_images_labels_and_paths(tmp_path: Path) -> None:
    samples = write(tmp_path, 6)
    loaded, messages = load_images(samples, PX, "bicubic")
    assert messages == ()
    assert len(loaded) == 6
    assert loaded.px == PX
    assert list(loaded.samples) == samples
    assert loaded.labels.dtype == np.int64
    assert loaded.labels.tolist() == [0, 1, 0, 1, 0, 1]
    batch = loaded.batch([4, 1, 4])
    assert batch.shape == (3, PX, PX, 3)
    assert batch.dtype == np.uint8
    assert batch.flags.c_contiguous
    assert batch[..., 0].reshape(3, -1).tolist() == [[4] * PX * PX, [1] * PX * PX, [4] * PX * PX]
    assert np.array_equal(batch, loaded.batch(np.array([4, 1, 4])))


def test_the_whole_image_is_resized(tmp_path: Path) -> None:
    samples = write_noise(tmp_path, [(40, 16), (5, 9)])
    for name in ("bicubic", "bilinear"):
        loaded, _ = load_images(samples, PX, name)
        for i, sample in enumerate(samples):
            with Image.open(sample.path) as image:
                expected = np.array(image.resize((PX, PX), Image.Resampling[name.upper()]))
            assert np.array_equal(loaded.batch([i])[0], expected)


def test_a_large_jpeg_looks_as_if_it_had_been_decoded_whole(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = tmp_path / "large.jpg"
    Image.fromarray(noise).resize((640, 640), Image.Resampling.BICUBIC).save(path, quality=95)
    loaded, _ = load_images([Sample(path, 0)], 64, "bicubic")
    with Image.open(path) as image:
        expected = np.array(image.resize((64, 64), Image.Resampling.BICUBIC), dtype=int)
    difference = np.abs(loaded.batch([0])[0] - expected)
    assert difference.max() <= 10  # 21, and 5.4 on average, if decoded at just 80 px
    assert difference.mean() <= 2


@pytest.mark.parametrize("kept", [0, 3])
def test_bytes_do_not_depend_on_what_is_kept(tmp_path: Path, kept: int) -> None:
    samples = write_noise(tmp_path, [(20 + i, 30) for i in range(12)])
    samples.insert(1, Sample(tmp_path / "gone.png", 0))
    whole, _ = load_images(samples, PX, "bicubic")
    almost_one_more = (kept + 1) * IMAGE_BYTES - 1
    partly, _ = load_images(samples, PX, "bicubic", cache_bytes=almost_one_more)
    assert partly.samples == whole.samples
    indices = [11, 0, 5, 2, 0, 7]
    assert np.array_equal(partly.batch(indices), whole.batch(indices))


def test_only_what_does_not_fit_is_decoded_again(tmp_path: Path) -> None:
    samples = write(tmp_path, 5)
    loaded, _ = load_images(samples, PX, "bicubic", cache_bytes=3 * IMAGE_BYTES)
    for sample in samples[:3]:
        sample.path.unlink()
    assert loaded.batch(range(5))[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]


def test_an_image_that_vanished_may_be_put_back(tmp_path: Path) -> None:
    samples = write(tmp_path, 3)
    loaded, _ = load_images(samples, PX, "bicubic", cache_bytes=0)
    content = samples[1].path.read_bytes()
    samples[1].path.unlink()
    with pytest.raises(DataError, match=r"1\.png does not exist.* It was there before: put"):
        loaded.batch([0, 1])
    samples[1].path.mkdir()
    with pytest.raises(DataError, match=r"1\.png is a folder.* put it back"):
        loaded.batch([0, 1])
    samples[1].path.rmdir()
    samples[1].path.write_bytes(content)  # at another time: what counts is what it shows
    assert loaded.batch([0, 1])[:, 0, 0, 0].tolist() == [0, 1]


def test_an_image_that_became_another_one_is_told(tmp_path: Path) -> None:
    samples = write(tmp_path, 3)
    loaded, _ = load_images(samples, PX, "bicubic", cache_bytes=IMAGE_BYTES)
    chosen = loaded.select([2, 0])
    for sample in samples:
        Image.new("RGB", (12, 10), (77, 0, 0)).save(sample.path)
    assert loaded.batch([0])[0, 0, 0, 0] == 0  # it was kept
    with pytest.raises(DataError, match=r"2\.png has changed since it was read: put it back"):
        chosen.batch([1, 0])


def test_what_files_were_like_before_reading(tmp_path: Path) -> None:
    samples = write(tmp_path, 4, broken=[1])
    os.utime(samples[2].path, ns=(5, 7))
    loaded, _ = load_images(samples, PX, "bicubic", refuse_many_unreadable=False)
    sizes = [samples[i].path.stat().st_size for i in (0, 2, 3)]
    for sample in samples:
        sample.path.unlink()
    assert [loaded.origin(place).size_bytes for place in range(3)] == sizes
    assert loaded.origin(1).changed_ns == 7
    chosen = loaded.select([2, 1])
    assert [chosen.origin(place) for place in (0, 1)] == [loaded.origin(2), loaded.origin(1)]
    assert os.fsdecode(chosen.name(1)) == str(samples[2].path)


def test_a_file_of_another_century(tmp_path: Path) -> None:
    """Some file systems know times of which nanoseconds since 1970 do not fit into 64 bits."""
    samples = write(tmp_path, 2)
    os.utime(samples[0].path, (0, 2**34 - 1))
    os.utime(samples[1].path, (0, -(2**31)))
    loaded, _ = load_images(samples, PX, "bicubic")
    assert loaded.origin(1).changed_ns == -(2**31) * 10**9
    assert abs(loaded.origin(0).changed_ns) < 2**63


def test_what_files_turn_into_between_finding_and_reading_them(tmp_path: Path) -> None:
    samples = write(tmp_path, 40)
    paths = [sample.path for sample in samples[4:8]]
    for path in paths:
        path.unlink()
    paths[1].mkdir()
    os.mkfifo(paths[2])
    paths[3].write_text("text")
    loaded, messages = load_images(samples, PX, "bicubic")
    assert len(loaded) == 36
    assert all(str(path) in told for path, told in zip(paths, messages, strict=True))


def test_unreadable_images_are_left_out_and_told(tmp_path: Path) -> None:
    samples, told = write(tmp_path, 20, broken=[3, 8]), []
    loaded, messages = load_images(
        samples,
        PX,
        "bicubic",
        cache_bytes=7 * IMAGE_BYTES,
        on_progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(i, 20) for i in range(1, 21)]
    assert len(loaded) == len(loaded.labels) == 18
    assert [message.split()[0] for message in messages] == [str(samples[i].path) for i in (3, 8)]
    readable = [i for i in range(20) if i not in (3, 8)]
    assert list(loaded.samples) == [samples[i] for i in readable]
    assert loaded.labels.tolist() == [i % 2 for i in readable]
    assert loaded.batch(range(18))[:, 0, 0, 0].tolist() == readable


def test_too_many_unreadable_images(tmp_path: Path) -> None:
    samples = write(tmp_path, 20, broken=[1, 3, 8])
    with pytest.raises(DataError, match=r"3 of 20 .* more than 10%.*/1\.png .*/3\.png .*/8\.png"):
        load_images(samples, PX, "bicubic")


def test_a_class_that_would_be_empty(tmp_path: Path) -> None:
    samples = write(tmp_path, 20, broken=[7])
    samples = [Sample(sample.path, int(i == 7)) for i, sample in enumerate(samples)]
    with pytest.raises(DataError, match=r"No image of the class in .*/7\.png is not an image"):
        load_images(samples, PX, "bicubic")


def test_options_out_of_range(tmp_path: Path) -> None:
    samples = write(tmp_path, 2)
    with pytest.raises(DataError, match="no images"):
        load_images([], PX, "bicubic")
    with pytest.raises(OptionError, match="0 px"):
        load_images(samples, 0, "bicubic")
    with pytest.raises(OptionError, match="-1 bytes"):
        load_images(samples, PX, "bicubic", cache_bytes=-1)
    with pytest.raises(UnknownNameError, match="Did you mean 'bicubic'"):
        load_images(samples, PX, "bicubik")
    loaded, _ = load_images(samples, PX, "bicubic", cache_bytes=IMAGE_BYTES)
    for index in (-1, 2):
        with pytest.raises(IndexError, match="there are 2 images"):
            loaded.batch([0, index])


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((28, 28), 160),
        ((160, 20), 160),
        ((20, 161), 176),
        ((4000, 20), 224),
    ],
)
def test_automatic_size_follows_the_longer_side(
    tmp_path: Path, size: tuple[int, int], expected: int
) -> None:
    assert auto_image_px(write(tmp_path, 2, size=size), native_px=224) == expected


def test_automatic_size_is_the_median_of_what_can_be_read(tmp_path: Path) -> None:
    samples = write_noise(tmp_path, [(100, 9), (170, 9), (200, 9)])
    (tmp_path / "text.png").write_text("text")
    samples.append(Sample(tmp_path / "text.png", 0))
    assert auto_image_px(samples, native_px=224) == 176
    assert auto_image_px(samples[3:], native_px=260) == 260
    assert auto_image_px(samples, native_px=64) == 64


def test_automatic_size_reads_few_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def remember(path: Path) -> tuple[int, int]:
        read.append(path)
        return 190, 100

    monkeypatch.setattr("addapt.images.image_set.read_size", remember)
    samples = [Sample(Path(f"{i}.png"), 0) for i in range(1000)]
    assert auto_image_px(samples, native_px=224) == 192
    assert 32 <= len(read) <= 64
    assert len(set(read)) == len(read)
    assert read[-1] in [sample.path for sample in samples[900:]]
