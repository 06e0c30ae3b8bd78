"""What comes from another machine is looked at like a stranger's file, before it is believed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from addapt._errors import FleetError
from addapt.engines.base import Form, State

Arrays = Mapping[str, npt.NDArray[Any]]

MOST_TIMES = 3.0  # how much longer an update, or heavier a device, may be than is usual


def check_state(state: Arrays, forms: Mapping[str, Form]) -> None:
    """Refuse arrays that are not those of the domain.

    Raises:
        FleetError: names, types or shapes differ, or a number is not finite.
    """
    if other := sorted(state.keys() ^ forms.keys()):
        raise FleetError(f"it sent other arrays than the domain has, such as {other[0]!r:.80}")
    for name, form in forms.items():
        array = state[name]
        if (array.dtype.name, array.shape) != form or not array.dtype.isnative:
            raise FleetError(
                f"it sent {name!r} as {array.dtype.name} of the shape {array.shape}, not as "
                f"{form[0]} of {form[1]}"
            )
        if not np.isfinite(array).all():
            raise FleetError(f"it sent {name!r} with values that are not finite")


def check_images(images: object, most: int) -> int:
    """Return a number of images that makes sense.

    Raises:
        FleetError: it does not.
    """
    if type(images) is not int or not 0 < images <= most:
        raise FleetError(f"it says that it has learned from {images!r:.80} images")
    return images


def distance(state: Arrays, start: Arrays) -> float:
    """Return the Euclidean length of what has changed."""
    squares = (
        np.square(array.astype(np.float64) - start[name]).sum() for name, array in state.items()
    )
    return float(np.sqrt(sum(squares)))


def usual(values: Sequence[float]) -> float:
    """Return the value in the middle; of two in the middle the smaller one."""
    return sorted(values)[(len(values) - 1) // 2]


def clipped(state: Arrays, start: Arrays, limit: float) -> State:
    """Shorten what has changed to a length of at most `limit`."""
    length = distance(state, start)
    share = min(1.0, limit / length) if length else 1.0
    if share == 1.0:
        return dict(state)
    return {
        name: (start[name] + share * (array.astype(np.float64) - start[name])).astype(array.dtype)
        for name, array in state.items()
    }
