"""Augmentation keeps to its bounds, its generator and its settings; normalisation is exact."""

import math
from dataclasses import astuple

import pytest
import torch
from torch import Tensor

from addapt._errors import OptionError
from addapt.images.transforms import Augmentation, normalise

NOTHING = Augmentation(zoom=0, shift=0, rotate_degrees=0, brightness=0, contrast=0)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(n: int = 4, height: int = 24, width: int = 24) -> Tensor:
    return torch.randint(0, 256, (n, 3, height, width), dtype=torch.uint8, generator=seeded(9))


def blob(x: float, y: float, height: int = 33, width: int = 33, n: int = 32) -> Tensor:
    """A soft bright spot at (x, y), in pixels from the middle."""
    down = torch.arange(height).view(-1, 1) - (height - 1) / 2 - y
    right = torch.arange(width).view(1, -1) - (width - 1) / 2 - x
    return (200 * torch.exp(-(down**2 + right**2) / 8)).expand(n, 3, height, width)


def centre(x: Tensor) -> Tensor:
    """The centre of mass (x, y) of each image, in pixels from the middle."""
    height, width = x.shape[-2:]
    mass = x.mean(1) / x.mean(1).sum(dim=(1, 2), keepdim=True)
    down = torch.arange(height).view(-1, 1) - (height - 1) / 2
    right = torch.arange(width).view(1, -1) - (width - 1) / 2
    return torch.stack(((mass * right).sum(dim=(1, 2)), (mass * down).sum(dim=(1, 2))), dim=1)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_normalise(dtype: torch.dtype, memory_format: torch.memory_format) -> None:
    x = noise().to(dtype).contiguous(memory_format=memory_format)
    before = x.clone()
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    y = normalise(x, mean, std)
    assert y.dtype == torch.float32
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(x, before)
    for channel in range(3):
        expected = (x[:, channel].double() / 255 - mean[channel]) / std[channel]
        torch.testing.assert_close(y[:, channel].double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(24, 24), (16, 40)])
def test_all_zero_changes_nothing(shape: tuple[int, int]) -> None:
    x = noise(4, *shape)
    y = NOTHING(x, seeded(0))
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, x.float(), rtol=0, atol=0.02)


def test_flip_mirrors_about_half_of_the_images_and_nothing_else() -> None:
    x = noise(200)
    y = Augmentation(True, *astuple(NOTHING)[1:])(x, seeded(0))
    mirrored = (y - x.flip(3)).abs().amax(dim=(1, 2, 3)) < 0.02
    unchanged = (y - x).abs().amax(dim=(1, 2, 3)) < 0.02
    assert bool((mirrored ^ unchanged).all())
    assert 70 < int(mirrored.sum()) < 130


def test_without_flip_nothing_is_ever_mirrored() -> None:
    x = blob(8, 0, n=500)
    assert bool((centre(Augmentation()(x, seeded(0)))[:, 0] > 0).all())
    flipped = centre(Augmentation(flip=True)(x, seeded(0)))[:, 0]
    assert 150 < int((flipped < 0).sum()) < 350


def test_the_generator_alone_decides() -> None:
    x = noise()
    vary = Augmentation(flip=True)
    torch.manual_seed(1)
    first = vary(x, seeded(5))
    state = torch.random.get_rng_state()
    torch.manual_seed(2)
    assert torch.equal(vary(x, seeded(5)), first)
    assert not torch.equal(vary(x, seeded(6)), first)
    torch.manual_seed(1)
    vary(x, seeded(5))
    assert torch.equal(torch.random.get_rng_state(), state)
    generator = seeded(5)
    vary(x, generator)
    assert not torch.equal(vary(x, generator), first)


def test_images_are_changed_independently() -> None:
    x = noise(1).expand(8, -1, -1, -1)
    y = Augmentation()(x, seeded(0))
    assert len({round(float(image.sum()), 2) for image in y}) == 8


def test_switching_one_change_on_leaves_the_others_as_they_were() -> None:
    x = noise(16)
    plain = Augmentation()(x, seeded(3))
    maybe_flipped = Augmentation(flip=True)(x, seeded(3))
    same = (plain - maybe_flipped).abs().amax(dim=(1, 2, 3)) == 0
    assert 0 < int(same.sum()) < 16


def test_the_input_is_left_as_it_is_and_values_stay_in_range() -> None:
    for x in (noise(), noise().float()):
        before = x.clone()
        y = Augmentation(brightness=1, contrast=1)(x, seeded(0))
        assert torch.equal(x, before)
        assert float(y.min()) >= 0
        assert float(y.max()) <= 255


def test_shift_stays_within_its_share_of_the_side() -> None:
    y = centre(Augmentation(False, 0, 0.2, 0, 0, 0)(blob(0, 0, 33, 51, 300), seeded(0)))
    assert 0.8 * 0.2 * 51 < float(y[:, 0].abs().max()) <= 0.2 * 51 + 0.1
    assert 0.8 * 0.2 * 33 < float(y[:, 1].abs().max()) <= 0.2 * 33 + 0.1
    assert float(y[:, 0].min()) < 0 < float(y[:, 0].max())
    assert float(y[:, 1].min()) < 0 < float(y[:, 1].max())


@pytest.mark.parametrize("shape", [(33, 33), (33, 61), (61, 33)])
def test_rotation_turns_by_angle_and_keeps_distances_in_pixels(shape: tuple[int, int]) -> None:
    x = blob(9, 0, *shape, n=300)
    y = centre(Augmentation(False, 0, 0, 30, 0, 0)(x, seeded(0)))
    torch.testing.assert_close(y.norm(dim=1), torch.full((300,), 9.0), rtol=0, atol=0.15)
    degrees = torch.atan2(y[:, 1], y[:, 0]) * 180 / math.pi
    assert 25 < float(degrees.max()) <= 30.5
    assert -30.5 <= float(degrees.min()) < -25


def test_zoom_moves_outwards_and_inwards_by_its_factor() -> None:
    y = centre(Augmentation(False, 0.3, 0, 0, 0, 0)(blob(8, 0, n=300), seeded(0)))[:, 0]
    assert 1.25 * 8 < float(y.max()) <= 1.3 * 8 + 0.1
    assert 0.7 * 8 - 0.1 <= float(y.min()) < 0.75 * 8


def test_what_comes_in_from_outside_repeats_the_border() -> None:
    x = torch.full((50, 3, 16, 16), 90, dtype=torch.uint8)
    y = Augmentation(False, 0.9, 1, 180, 0, 0)(x, seeded(0))
    torch.testing.assert_close(y, x.float(), rtol=0, atol=0.02)


def test_brightness_multiplies_and_contrast_keeps_the_mean() -> None:
    x = noise(300, 8, 8).float() / 2 + 32
    factors = Augmentation(False, 0, 0, 0, 0.25, 0)(x, seeded(0)) / x
    assert float((factors.amax(dim=(1, 2, 3)) - factors.amin(dim=(1, 2, 3))).max()) < 1e-3
    assert 0.75 - 1e-3 <= float(factors.min()) < 0.8
    assert 1.2 < float(factors.max()) <= 1.25 + 1e-3
    y = Augmentation(False, 0, 0, 0, 0, 0.25)(x, seeded(0))
    torch.testing.assert_close(y.mean(dim=(1, 2, 3)), x.mean(dim=(1, 2, 3)), rtol=1e-4, atol=0)
    ratio = y.std(dim=(1, 2, 3)) / x.std(dim=(1, 2, 3))
    assert 0.75 - 1e-3 <= float(ratio.min()) < 0.8
    assert 1.2 < float(ratio.max()) <= 1.25 + 1e-3


@pytest.mark.parametrize("name", ["zoom", "shift", "rotate_degrees", "brightness", "contrast"])
@pytest.mark.parametrize("value", [-0.1, 181, float("nan")])
def test_values_out_of_range(name: str, value: float) -> None:
    with pytest.raises(OptionError, match=f"augmentation's {name} is {value}; it must lie"):
        Augmentation(**{name: value})  # type: ignore[arg-type]


def test_strength_scales_all_ranges() -> None:
    assert Augmentation.of_strength(1.0, flip=True) == Augmentation(flip=True)
    half = Augmentation.of_strength(0.5, flip=False)
    assert (half.zoom, half.rotate_degrees) == (0.075, 4.0)
    none = Augmentation.of_strength(0.0, flip=False)
    assert (none.zoom, none.shift, none.brightness, none.contrast) == (0, 0, 0, 0)
