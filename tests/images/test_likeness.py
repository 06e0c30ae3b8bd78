"""Copies at another size or quality are told from images that only look alike."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from addapt.images.likeness import GRID, LUMA, Greys, is_one_colour, mean_greys, near_copies

PX = 96


def scene(seed: int) -> Image.Image:
    """Draw large soft spots and fine grain, as in a photograph."""
    generator = np.random.default_rng(seed)
    spots = Image.fromarray(generator.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    pixels = np.asarray(spots.resize((240, 200), Image.Resampling.BICUBIC)).astype(int)
    grain = generator.integers(-8, 9, pixels.shape)
    return Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8))


def as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


def greys_of(*images: Image.Image) -> Greys:
    sized = (image.convert("RGB").resize((PX, PX), Image.Resampling.BICUBIC) for image in images)
    return np.stack([mean_greys(np.array(image)) for image in sized])


def found(learned: list[Image.Image], checked: list[Image.Image], labels: list[int]) -> list[int]:
    """Return for each image to check on the place of the one that it is a copy of, or -1."""
    places = np.arange(len(learned) + len(checked))
    pairs = near_copies(
        greys_of(*learned, *checked),
        np.array(labels),
        places[len(learned) :],
        places[: len(learned)],
    )
    return [pairs.get(place, -1) for place in places[len(learned) :].tolist()]


@pytest.mark.parametrize("px", [1, 5, 8, 30, 96, 224, 2048])
def test_mean_greys(px: int) -> None:
    pixels = np.random.default_rng(px).integers(0, 256, (px, px, 3), dtype=np.uint8)
    greys = mean_greys(pixels)
    assert greys.shape == (GRID * GRID,)
    if px < GRID:
        return
    side = px // GRID
    expected = [
        pixels[side * i : side * (i + 1), side * j : side * (j + 1)].mean((0, 1)) @ LUMA
        for i in range(GRID)
        for j in range(GRID)
    ]
    assert np.abs(greys - np.array(expected)).max() <= 0.5001


def test_white_does_not_overflow() -> None:
    assert (mean_greys(np.full((2048, 2048, 3), 255, np.uint8)) == 255).all()


@pytest.mark.parametrize(
    "copied",
    [
        lambda image: as_jpeg(image, 95),
        lambda image: as_jpeg(image, 60),
        lambda image: image.resize((120, 100)),
        lambda image: image.resize((480, 400), Image.Resampling.LANCZOS),
        lambda image: as_jpeg(image.resize((170, 140)), 80),
    ],
)
def test_copies_are_found(copied: Callable[[Image.Image], Image.Image]) -> None:
    scenes = [scene(seed) for seed in range(12)]
    copies = [copied(scenes[seed]) for seed in (7, 2)]
    assert found(scenes, [*copies, scene(50)], [0] * 15) == [7, 2, -1]


def test_what_a_fixed_camera_sees_is_no_copy() -> None:
    """All images have the same ground, and the thing on it moves or changes."""
    generator = np.random.default_rng(0)
    ground = np.asarray(scene(1)).astype(float)
    images = []
    for _ in range(40):
        pixels = ground * generator.normal(1, 0.02) + generator.normal(0, 3, ground.shape)
        y, x = generator.integers(0, 180, 2)
        pixels[y : y + 20, x : x + 20] = 250
        images.append(as_jpeg(Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)), 85))
    assert found(images[:30], images[30:], [0] * 40) == [-1] * 10


def test_what_is_as_near_in_another_class_is_no_copy() -> None:
    scenes = [scene(seed) for seed in range(8)]
    lamp = as_jpeg(scenes[3], 90)
    again = as_jpeg(scenes[3], 80)
    assert found([*scenes, lamp], [again], [0] * 8 + [0, 0]) == [3]
    assert found([*scenes, lamp], [again], [0] * 8 + [1, 0]) == [-1]
    assert found(scenes, [again], [1] * 8 + [0]) == [-1]


def test_no_images_few_images_and_images_of_one_colour() -> None:
    plain = [Image.new("RGB", (20, 20), (i, i, i)) for i in range(4)]
    assert found(plain[:3], plain[2:], [0] * 5) == [-1, -1]
    assert found([scene(0)], [as_jpeg(scene(0), 90)], [0, 0]) == [-1]  # nothing to compare with
    assert found([scene(0)], [], [0]) == []
    assert found([], [scene(0)], [0]) == [-1]


def test_pieces_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    scenes = [scene(seed) for seed in range(20)]
    copies = [as_jpeg(scenes[seed], 80) for seed in (19, 4, 4, 11, 0)]
    whole = found(scenes, copies, [0] * 25)
    monkeypatch.setattr("addapt.images.likeness.CHECKED_AT_ONCE", 2)
    monkeypatch.setattr("addapt.images.likeness.LEARNED_AT_ONCE", 3)
    assert found(scenes, copies, [0] * 25) == whole == [19, 4, 4, 11, 0]


def test_one_colour() -> None:
    for value in (0, 100, 253):
        pixels = np.full((32, 32, 3), (value, 40, 7), np.uint8)
        assert is_one_colour(pixels, mean_greys(pixels))
        pixels[3, 4, 0] += 2
        assert is_one_colour(pixels, mean_greys(pixels))
        pixels[20, 4, 0] -= value > 0
        pixels[3, 4, 0] += value == 0
        assert not is_one_colour(pixels, mean_greys(pixels))
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[5, 5, 2] = 60  # of little weight in the mean of its field
    assert not is_one_colour(pixels, mean_greys(pixels))
