"""Grey values deeper than 8 bits, and how they become 8-bit."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

# The lowest and the highest value, which become 0 and 255; empty where none is known.
ValueRange = tuple[float, ...]


def is_deep(mode: str) -> bool:
    """Whether an image of this mode, as Pillow calls it, has values deeper than 8 bits.

    They are grey ones: Pillow makes colours 8-bit itself.
    """
    return mode.startswith("I") or mode == "F"


def to_eight_bits(
    values: npt.NDArray[np.generic], mode: str, value_range: ValueRange = ()
) -> npt.NDArray[np.uint8]:
    """Scale grey values to 0..255, by a range of values or, without one, as `_by_depth` does.

    What lies outside the range becomes its nearest end; what is not a number, the lower one.
    """
    if not value_range:
        return _by_depth(values, mode)
    low, high = value_range
    if mode.startswith("I;16"):  # the commonest kind, and a table is several times as fast
        return np.asarray(_table(low, high)[values], np.uint8)
    wide = np.nan_to_num(values.astype(np.float64), nan=low, posinf=high, neginf=low)
    return _stretched(wide, low, high)


@lru_cache(maxsize=4)
def _table(low: float, high: float) -> npt.NDArray[np.uint8]:
    """Return what each 16-bit value becomes."""
    return _stretched(np.arange(65536, dtype=np.float64), low, high)


def _stretched(wide: npt.NDArray[np.float64], low: float, high: float) -> npt.NDArray[np.uint8]:
    """Map low..high to 0..255; `wide` is overwritten."""
    np.clip(wide, low, high, out=wide)
    wide -= low
    wide *= 255 / (high - low)
    return np.rint(wide, out=wide).astype(np.uint8)


def _by_depth(values: npt.NDArray[np.generic], mode: str) -> npt.NDArray[np.uint8]:
    """Scale grey values to 0..255 by what their kind may hold.

    16-bit values, and 32-bit integers that all lie in 0..65535, lose their low byte: some
    versions of Pillow open a 16-bit file as 32-bit, and the bytes should not depend on that.
    Floats that all lie in 0..1 are taken as such. Everything else has no agreed range and is
    stretched from its own minimum..maximum; what is not a finite number becomes its nearest end.
    """
    if mode.startswith("I;16"):
        return (values.astype(np.uint16) >> 8).astype(np.uint8)
    wide = values.astype(np.float64)
    finite = wide[np.isfinite(wide)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if mode == "I" and low >= 0 and high <= 65535:
        return (values.astype(np.uint16) >> 8).astype(np.uint8)
    wide = np.nan_to_num(wide, nan=low, posinf=high, neginf=low)
    if mode == "F" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    spread = high - low or 1.0
    return np.rint((wide - low) / spread * 255).astype(np.uint8)
