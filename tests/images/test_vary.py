"""Variation is exactly what a slow and plain twin makes, and keeps to its bounds and settings."""

import math
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Float, UInt8
from numpy import ndarray

from addapt._errors import OptionError
from addapt.images import vary
from addapt.images.vary import DRAWS, Augmentation

NOTHING = Augmentation(zoom=0, shift=0, rotate_degrees=0, brightness=0, contrast=0)

Images = UInt8[ndarray, "n h w 3"]


def noise(n: int = 4, height: int = 24, width: int = 24, seed: int = 9) -> Images:
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), dtype=np.uint8)


def varied(augmentation: Augmentation, images: Images, seed: int = 0) -> Images:
    draws = augmentation.draw(len(images), np.random.default_rng(seed))
    return augmentation.apply(images, draws)


def twin(
    augmentation: Augmentation, image: UInt8[ndarray, "h w 3"], draws: Float[ndarray, " draws"]
) -> Float[ndarray, "h w 3"]:
    """Vary one image pixel by pixel, without rounding."""
    height, width, _ = image.shape
    zoom, angle, shift_x, shift_y, _, brightness, contrast = (2 * float(draw) - 1 for draw in draws)
    angle *= math.radians(augmentation.rotate_degrees)
    factor = 1 / (1 + augmentation.zoom * zoom)
    mirror = -1 if augmentation.flip and draws[4] < 0.5 else 1
    values = np.empty(image.shape)
    for row in range(height):
        for column in range(width):
            right, down = (column - (width - 1) / 2) * mirror, row - (height - 1) / 2
            x = factor * (math.cos(angle) * right - math.sin(angle) * down)
            y = factor * (math.sin(angle) * right + math.cos(angle) * down)
            x += (width - 1) / 2 + augmentation.shift * shift_x * width
            y += (height - 1) / 2 + augmentation.shift * shift_y * height
            x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
            left, top = math.floor(x), math.floor(y)
            right_, below = min(left + 1, width - 1), min(top + 1, height - 1)
            part_x, part_y = x - left, y - top
            upper = (1 - part_x) * image[top, left] + part_x * image[top, right_]
            lower = (1 - part_x) * image[below, left] + part_x * image[below, right_]
            values[row, column] = (1 - part_y) * upper + part_y * lower
    values *= 1 + augmentation.brightness * brightness
    mean = values.mean()
    values = (values - mean) * (1 + augmentation.contrast * contrast) + mean
    clipped: Float[ndarray, "h w 3"] = np.clip(values, 0, 255)
    return clipped


DRAW = st.floats(0, 1, width=32)


@settings(max_examples=60)
@given(
    augmentation=st.builds(
        Augmentation,
        flip=st.booleans(),
        zoom=st.floats(0, 0.9),
        shift=st.floats(0, 1),
        rotate_degrees=st.floats(0, 180),
        brightness=st.floats(0, 1),
        contrast=st.floats(0, 1),
    ),
    draws=st.lists(st.lists(DRAW, min_size=DRAWS, max_size=DRAWS), min_size=1, max_size=3),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_agrees_with_the_twin(
    augmentation: Augmentation, draws: list[list[float]], height: int, width: int, seed: int
) -> None:
    images = noise(len(draws), height, width, seed) // 128 * 255  # the steepest there are
    rows = np.array(draws, dtype=np.float32)
    y = augmentation.apply(images, rows).astype(float)
    for image, row, got in zip(images, rows, y, strict=True):
        assert np.abs(twin(augmentation, image, row) - got).max() <= 1


def test_agrees_with_the_twin_at_usual_sizes() -> None:
    augmentation = Augmentation(flip=True)
    images = noise(9, 96, 61)
    draws = augmentation.draw(9, np.random.default_rng(1))
    expected = twin(augmentation, images[-1], draws[-1])
    assert np.abs(expected - augmentation.apply(images, draws)[-1]).max() <= 0.7


@pytest.mark.parametrize("shape", [(17, 40), (1, 1), (200, 200)])
def test_what_changes_nothing_gives_the_image_back(shape: tuple[int, int]) -> None:
    x = noise(4, *shape)
    assert np.array_equal(varied(NOTHING, x), x)
    middle = np.full((4, DRAWS), 0.5, dtype=np.float32)
    assert np.array_equal(Augmentation(flip=True).apply(x, middle), x)


def test_flip_mirrors_about_half_of_the_images_and_nothing_else() -> None:
    x = noise(200, 8, 7)
    y = varied(Augmentation(True, *astuple(NOTHING)[1:]), x)
    mirrored = (y == x[:, :, ::-1]).all((1, 2, 3))
    assert (mirrored ^ (y == x).all((1, 2, 3))).all()
    assert 70 < mirrored.sum() < 130


def test_how_many_are_varied_at_a_time_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    x = noise(13, 20, 30)
    augmentation = Augmentation(flip=True)
    draws = augmentation.draw(13, np.random.default_rng(0))
    whole = augmentation.apply(x, draws)
    parts = [augmentation.apply(x[i : i + 1], draws[i : i + 1]) for i in range(13)]
    assert np.array_equal(np.concatenate(parts), whole)
    monkeypatch.setattr(vary, "CHUNK_PIXELS", 3 * 20 * 30)
    assert np.array_equal(augmentation.apply(x, draws), whole)
    backwards = x[:, ::-1, ::-1]  # not contiguous
    assert np.array_equal(
        augmentation.apply(backwards, draws), augmentation.apply(backwards.copy(), draws)
    )
    assert augmentation.apply(x[:0], draws[:0]).shape == (0, 20, 30, 3)


def test_the_generator_alone_decides() -> None:
    x = noise()
    augmentation = Augmentation(flip=True)
    generator = np.random.default_rng(5)
    first = augmentation.draw(4, generator)
    assert first.shape == (4, DRAWS) and first.dtype == np.float32
    assert np.array_equal(Augmentation(zoom=0).draw(4, np.random.default_rng(5)), first)
    assert not np.array_equal(augmentation.draw(4, generator), first)
    many = augmentation.draw(1000, generator)
    assert np.abs(many.mean(0) - 0.5).max() < 0.05
    assert many.min() < 0.01 and 0.99 < many.max() < 1
    before = x.copy()
    assert np.array_equal(augmentation.apply(x, first), augmentation.apply(x, first))
    assert np.array_equal(x, before)


@pytest.mark.parametrize("name", ["zoom", "shift", "rotate_degrees", "brightness", "contrast"])
def test_values_out_of_range(name: str) -> None:
    for value in (-0.1, 181, float("nan")):
        with pytest.raises(OptionError, match=f"augmentation's {name} is {value}; it must lie"):
            Augmentation(**{name: value})  # type: ignore[arg-type]


def test_strength_scales_all_ranges() -> None:
    assert Augmentation.of_strength(1.0, flip=True) == Augmentation(flip=True)
    half = Augmentation.of_strength(0.5, flip=False)
    assert (half.zoom, half.rotate_degrees) == (0.075, 4.0)
    assert Augmentation.of_strength(0.0, flip=False) == NOTHING
