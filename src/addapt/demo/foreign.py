"""Images that belong to no domain: noise, empty frames and textures, drawn alike each time."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image

PX = 96

Pixels = npt.NDArray[np.uint8]


def noise(rng: np.random.Generator) -> Pixels:
    """Draw noise: coarse or fine, in colour or grey."""
    side, channels = rng.choice([8, 32, PX]), rng.choice([1, 3])
    values = rng.normal(rng.uniform(60, 190), rng.uniform(10, 80), (side, side, channels))
    pixels = np.clip(np.broadcast_to(values, (side, side, 3)), 0, 255).astype(np.uint8)
    return np.asarray(Image.fromarray(pixels).resize((PX, PX)))


def empty(rng: np.random.Generator) -> Pixels:
    """Draw a frame of one colour, or of one that changes slowly, with a camera's noise."""
    first, last = rng.uniform(0, 255, (2, 3))
    if rng.random() < 0.5:
        last = first
    share = np.linspace(0, 1, PX)[:, None, None]
    frame = first + share * (last - first) + rng.normal(0, 3, (PX, PX, 3))
    return np.asarray(np.clip(frame, 0, 255), np.uint8)


def texture(rng: np.random.Generator) -> Pixels:
    """Draw stripes, checks, or clouds, in two colours."""
    y, x = np.mgrid[:PX, :PX]
    turn, step = rng.uniform(0, np.pi), rng.uniform(0.1, 0.8)
    along = np.sin(step * (x * np.cos(turn) + y * np.sin(turn)))
    across = np.sin(step * (y * np.cos(turn) - x * np.sin(turn)))
    spectrum = np.hypot(np.fft.fftfreq(PX)[:, None], np.fft.fftfreq(PX)) + 1 / PX
    clouds = np.fft.ifft2(np.fft.fft2(rng.normal(size=(PX, PX))) / spectrum**1.5).real
    pattern = [along > 0, (along > 0) ^ (across > 0), clouds][rng.integers(3)].astype(float)
    pattern = (pattern - pattern.min()) / np.ptp(pattern)
    first, last = rng.uniform(0, 255, (2, 3))
    return np.asarray(first + pattern[..., None] * (last - first), np.uint8)


FOREIGN: dict[str, Callable[[np.random.Generator], Pixels]] = {
    "noise": noise,
    "empty": empty,
    "texture": texture,
}


def drawn(kind: str, count: int) -> list[Pixels]:
    """Draw images of a kind, always the same ones."""
    rng = np.random.default_rng(0)
    return [FOREIGN[kind](rng) for _ in range(count)]
