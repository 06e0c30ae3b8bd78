"""Random changes of images that leave their class as it is, the same for every engine."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy import ndarray

from addapt._errors import OptionError

if TYPE_CHECKING:
    from jaxtyping import Float32, Float64, Int32, UInt8

DRAWS = 7  # random numbers an image: zoom, angle, shift x, shift y, flip, brightness, contrast

# Places between pixels are whole numbers of 1/ONE pixel, and so are weights. The three colours of
# a pixel lie in one 64-bit number, LANE bits each: a weighted mean of four pixels then takes four
# multiplications instead of twelve, and 8 bits of colour with FRACTION of weight just fit.
FRACTION = 13
ONE = 1 << FRACTION
LANE = 21
LANE_BITS = (1 << LANE) - 1

# So many pixels are varied at a time: their numbers stay in a processor's second cache.
CHUNK_PIXELS = 1 << 15
BAND_PIXELS = 1 << 13  # of which intermediate results are in memory at once


@dataclass(frozen=True)
class Augmentation:
    """Random changes that leave the class as it is, drawn anew for every image.

    One affine map about the centre, then brightness, then contrast about the image's mean.
    Outside the image its border is repeated.

    Args:
        flip: mirror left and right in half of the cases. Off, since letters, road signs and
            the like change their meaning when mirrored.
        zoom: size changes by a factor in 1 - zoom ... 1 + zoom.
        shift: moves by up to this share of the side, either way.
        rotate_degrees: turns by up to this angle, either way.
        brightness: values are multiplied by 1 - brightness ... 1 + brightness.
        contrast: distances from the mean are multiplied by 1 - contrast ... 1 + contrast.

    Raises:
        OptionError: a value is out of range.
    """

    flip: bool = False
    zoom: float = 0.15
    shift: float = 0.08
    rotate_degrees: float = 8.0
    brightness: float = 0.15
    contrast: float = 0.15

    @classmethod
    def of_strength(cls, strength: float, *, flip: bool) -> Augmentation:
        """Scale all default ranges by `strength`."""
        ranges = {name: strength * value for name, value in vars(cls()).items() if name != "flip"}
        return cls(flip=flip, **ranges)

    def __post_init__(self) -> None:
        limits = {"zoom": 0.9, "shift": 1, "rotate_degrees": 180, "brightness": 1, "contrast": 1}
        for name, limit in limits.items():
            value = getattr(self, name)
            if not 0 <= value <= limit:
                raise OptionError(
                    f"The augmentation's {name} is {value}; it must lie between 0 and {limit}."
                )

    def draw(self, images: int, generator: np.random.Generator) -> Float32[ndarray, "n draws"]:
        """Draw the random numbers of so many images.

        What is drawn does not depend on the settings: switching one off leaves the others as
        they were.
        """
        return generator.random((images, DRAWS), dtype=np.float32)

    def apply(
        self, images: UInt8[ndarray, "n h w 3"], draws: Float32[ndarray, "n draws"]
    ) -> UInt8[ndarray, "n h w 3"]:
        """Change each image as its row of random numbers says, rounded to whole values.

        Args:
            images: left as they are.
            draws: made by `draw`.
        """
        n, height, width, _ = images.shape
        columns, rows = self._places(draws, height, width)
        signed = draws.astype(np.float64) * 2 - 1
        brightness = 1 + self.brightness * signed[:, 5]
        contrast = 1 + self.contrast * signed[:, 6]
        varied = np.empty(images.shape, np.uint8)
        at_a_time = min(max(CHUNK_PIXELS // (height * width), 1), max(n, 1))
        sampler = _Sampler(at_a_time, height, width)
        # On one thread: two were measured on two busy cores, and took as long.
        for start in range(0, n, at_a_time):
            some = slice(start, start + at_a_time)
            values = sampler.sample(images[some], columns[:, some], rows[:, some])
            _adjust(values, brightness[some], contrast[some])
            varied[some] = values
        return varied

    def _places(
        self, draws: Float32[ndarray, "n draws"], height: int, width: int
    ) -> tuple[Int32[ndarray, "2 n 1 w"], Int32[ndarray, "2 n h 1"]]:
        """Return what column and row of a new pixel add to its place (x, y) in the old image."""
        signed = draws.astype(np.float64) * 2 - 1
        # From new to old: hence divided by the zoom.
        factor = 1 / (1 + self.zoom * signed[:, 0])
        angle = math.radians(self.rotate_degrees) * signed[:, 1]
        mirror = np.where(draws[:, 4] < 0.5, -1.0, 1.0) if self.flip else 1.0
        cos, sin = factor * np.cos(angle), factor * np.sin(angle)
        middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
        origins = (
            middle_x + self.shift * width * signed[:, 2],
            middle_y + self.shift * height * signed[:, 3],
        )
        of_column = np.stack((cos * mirror, sin * mirror))[..., None] * (
            np.arange(width) - middle_x
        )
        of_row = np.stack((-sin, cos))[..., None] * (np.arange(height) - middle_y)
        of_column += np.stack(origins)[..., None]
        return _fixed(of_column)[:, :, None, :], _fixed(of_row)[:, :, :, None]


def _fixed(pixels: Float64[ndarray, "2 n side"]) -> Int32[ndarray, "2 n side"]:
    # 32 bits are enough for images of 30,000 pixels a side, at the smallest zoom.
    fixed: Int32[ndarray, "2 n side"] = np.rint(pixels * ONE).astype(np.int32)
    return fixed


class _Sampler:
    """Reads images between their pixels; its room is used again for the next ones.

    Fresh memory for every intermediate result would take as long as the arithmetic.
    """

    def __init__(self, images: int, height: int, width: int) -> None:
        self.shape = height, width
        # One more row and column, so that every place has a neighbour to the right and below.
        self.packed = np.empty((images, height + 1, width + 1), np.int64)
        self.first = np.arange(images, dtype=np.int32)[:, None, None] * self.packed[0].size
        # Rows at a time: a whole large image would take megabytes, and no less time.
        self.band = min(max(BAND_PIXELS // (images * width), 1), height)
        self.wide = np.empty((4, images, self.band, width), np.int64)
        self.narrow = np.empty((4, images, self.band, width), np.int32)
        self.values = np.empty((images, height, width, 3), np.float32)

    def sample(
        self,
        images: UInt8[ndarray, "n h w 3"],
        columns: Int32[ndarray, "2 n 1 w"],
        rows: Int32[ndarray, "2 n h 1"],
    ) -> Float32[ndarray, "n h w 3"]:
        """Return the values at the places, bilinearly, times ONE; valid until the next call.

        Args:
            images: at most as many as there is room for.
            columns: what each column adds to x and y.
            rows: what each row adds to them.
        """
        height, values = self.shape[0], self.values[: len(images)]
        for top in range(0, height, self.band):
            band = slice(top, min(top + self.band, height))
            self._pack(images, band)
        packed = self.packed[: len(images)]
        packed[:, height] = packed[:, height - 1]
        for top in range(0, height, self.band):
            band = slice(top, min(top + self.band, height))
            self._sample_band(columns, rows[:, :, band], values[:, band])
        return values

    def _sample_band(
        self,
        columns: Int32[ndarray, "2 n 1 w"],
        rows: Int32[ndarray, "2 n band 1"],
        values: Float32[ndarray, "n band w 3"],
    ) -> None:
        """Fill the values of some rows."""
        n, height, (full_height, width) = len(values), values.shape[1], self.shape
        at, weight, part, total = self.wide[:, :n, :height]
        x, y, both, rest = self.narrow[:, :n, :height]

        np.add(columns[0], rows[0], out=x)
        np.clip(x, 0, (width - 1) * ONE, out=x)
        np.add(columns[1], rows[1], out=y)
        np.clip(y, 0, (full_height - 1) * ONE, out=y)
        np.right_shift(y, FRACTION, out=rest)
        rest *= width + 1
        rest += self.first[:n]
        np.right_shift(x, FRACTION, out=both)
        rest += both
        at[...] = rest

        # Weights of the four neighbours, whose sum is ONE: of the one at the place, on its right,
        # below, and both.
        x &= ONE - 1
        y &= ONE - 1
        np.multiply(x, y, out=both)
        both >>= FRACTION
        x -= both
        y -= both
        np.add(x, y, out=rest)
        rest += both
        np.subtract(ONE, rest, out=rest)
        flat = self.packed.reshape(-1)
        # "clip" spares a second look at places that are in range anyway
        np.take(flat, at, out=total, mode="clip")
        weight[...] = rest
        total *= weight
        for share, step in ((x, 1), (y, width + 1), (both, width + 2)):
            np.take(flat[step:], at, out=part, mode="clip")
            weight[...] = share
            part *= weight
            total += part

        for channel in range(3):
            if channel:
                total >>= LANE
            np.bitwise_and(total, LANE_BITS, out=part)
            values[..., channel] = part

    def _pack(self, images: UInt8[ndarray, "n h w 3"], band: slice) -> None:
        """Put the colours of each pixel of some rows into one number."""
        some, width = images[:, band], self.shape[1]
        _, _, part, pixels = self.wide[:, : len(images), : some.shape[1]]
        pixels[...] = some[..., 2]
        for channel in (1, 0):
            part[...] = some[..., channel]
            pixels <<= LANE
            pixels |= part
        packed = self.packed[: len(images), band]
        packed[:, :, :width] = pixels
        packed[:, :, width] = packed[:, :, width - 1]


def _adjust(
    values: Float32[ndarray, "n h w 3"],
    brightness: Float64[ndarray, " n"],
    contrast: Float64[ndarray, " n"],
) -> None:
    """Multiply values, then their distances from the image's mean.

    They come as multiples of 1 / ONE. They leave as 0.5 ... 255.5, to be cut off.
    """
    flat = values.reshape(len(values), values.shape[1], -1)
    # einsum is the fastest to add up a row, and a row is short enough for its plain float32
    mean = np.einsum("nij->ni", flat).mean(1, dtype=np.float64) / flat.shape[2]
    mean *= brightness / ONE
    flat *= (brightness * contrast / ONE).astype(np.float32)[:, None, None]
    flat += (mean * (1 - contrast) + 0.5).astype(np.float32)[:, None, None]
    np.clip(flat, 0, 255.5, out=flat)
