"""Drawn scenes, a camera's noise, and a clock that waits for nobody."""

from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np
import numpy.typing as npt
from PIL import Image

from addapt.watching.frames import Frame, small_copy
from addapt.watching.pace import Clock

Pixels = npt.NDArray[np.uint8]
Levels = npt.NDArray[np.float32]
RATE = 25
WIDTH, HEIGHT = 240, 180
MARGIN = 80


class FakeClock(Clock):
    """A clock that goes on only when somebody sleeps, or works as `passes` says."""

    def __init__(self, at_s: float = 1000.0) -> None:
        self.at_s = at_s

    def now(self) -> float:
        return self.at_s

    def sleep(self, seconds: float) -> None:
        self.passes(seconds)

    def passes(self, seconds: float) -> None:
        self.at_s += seconds


def drawn(seed: int, width: int = WIDTH) -> Levels:
    """Draw a scene of smooth colours, (HEIGHT, width, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, width // 20, 3), np.uint8)
    image = Image.fromarray(coarse).resize((width, HEIGHT), Image.Resampling.BICUBIC)
    return np.asarray(image, np.float32)


def with_thing(scene: Levels, x: int = 90, px: int = 36) -> Levels:
    """Put a red square into a scene."""
    scene = scene.copy()
    scene[60 : 60 + px, x : x + px] = (220, 30, 30)
    return scene


class Camera:
    """Takes scenes with noise of its own: cut out of a large one, as drawing it takes long."""

    def __init__(self, noise: float = 8.0) -> None:
        self._random = np.random.default_rng(0)
        size = HEIGHT + MARGIN, WIDTH + MARGIN, 3
        self._noise = self._random.normal(0, noise, size).astype(np.float32)

    def takes(self, scene: Levels) -> Pixels:
        top, left = self._random.integers(0, MARGIN, 2)
        noisy = scene + self._noise[top : top + HEIGHT, left : left + WIDTH]
        return noisy.clip(0, 255).astype(np.uint8)


def frames_of(images: Iterable[Pixels], rate: float = RATE) -> Iterator[Frame]:
    for number, image in enumerate(images):
        yield Frame(number, number / rate, partial(_same, image), partial(small_copy, image))


def _same(image: Pixels) -> Pixels:
    return image
