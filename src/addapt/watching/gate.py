"""The gate in front of the network: which frames show something new."""

from collections import deque
from collections.abc import Callable
from math import inf
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from addapt.watching.frames import SMALL_PX, Small

CHANGED_CELLS = SMALL_PX**2 // 20  # a change of so many cells counts in full
DARK = np.float32(1)  # level, so that nothing is divided by zero
LEAST_CHANGE = 5.0  # levels of 255: no threshold is below
MOST_NOISE = 10.0  # levels; what differs by more moves
LEAST_LIGHT, MOST_LIGHT = 0.1, 0.3  # logs of gains: no threshold is below or above
ABOVE_NOISE = 2.2
HYSTERESIS = 0.65  # what is left of the threshold of change until the scene has settled
SETTLED_S = 0.2
FOLLOW_S = 0.5  # how soon a new light is taken for granted
FIRST_MEASURED = 50  # frames; later only some, as that takes twice as long as the gate itself
MEASURE_EVERY = 4
LEAST_MEASURED, MOST_MEASURED = 5, 64
SAME_GROWTH = 1.2  # from neighbouring frames to those two apart, at most, in a scene that is still
QUIET = 0.25  # the quantile of what was measured that is taken for noise
# Where so many frames in a row were new, only some at the start of each round are compared: three
# neighbours, so that noise is still measured.
LONG_FRAMES, ROUND_FRAMES, COMPARED_FRAMES = 50, 12, 3


class Difference(NamedTuple):
    """How two small copies differ: `change` in levels of 255, `light` as logs of gains, (3,)."""

    change: float
    light: npt.NDArray[np.float32]


def difference(small: Small, other: Small) -> Difference:
    """Compare two copies: first their light, colour by colour, then what is left.

    The light is the median ratio of the cells that were brighter than most: dark ones have steps
    of whole levels. The change is the mean over the cells that differ most, so that a small thing
    counts as much as a large one.
    """
    gains = np.empty((len(small), 1), np.float32)
    for gain, now, before in zip(gains, small, other, strict=True):
        bright = before >= before.mean()
        ratios = (now[bright] + DARK) / (before[bright] + DARK)
        middle = len(ratios) // 2
        ratios.partition(middle)
        gain[0] = ratios[middle]
    cells = np.abs(small - gains * other).max(axis=0)
    cells.partition(-CHANGED_CELLS)
    return Difference(float(cells[-CHANGED_CELLS:].mean()), np.log(gains[:, 0]))


class Noise:
    """How much neighbouring frames of a still scene differ, and so what a change has to exceed.

    Noise is as large between frames that lie further apart, but what moves has moved further by
    then: so a measurement where the difference grows from neighbours to frames two apart is one of
    movement, as is one above `MOST_NOISE`. Of all, a low quantile is taken for noise, for a scene
    that moves holds still at times; where that is movement, too, nothing is known of the noise.
    """

    def __init__(self) -> None:
        self.change, self.light = LEAST_CHANGE, LEAST_LIGHT
        self._last: deque[Small] = deque(maxlen=2)
        self._changes: deque[float] = deque(maxlen=MOST_MEASURED)
        self._lights: deque[float] = deque(maxlen=MOST_MEASURED)
        self._frames = self._unmeasured = 0

    def note(self, small: Small) -> None:
        """Take the next frame into account."""
        self._frames += 1
        self._unmeasured += 1
        measured = self._frames <= FIRST_MEASURED or self._unmeasured >= MEASURE_EVERY
        if measured and len(self._last) == 2:
            self._unmeasured = 0
            two, one = (difference(small, earlier) for earlier in self._last)
            if one.change > 0:  # some cameras give a frame twice
                self._lights.append(float(np.abs(one.light).max()))
                moves = one.change > MOST_NOISE or two.change > SAME_GROWTH * one.change
                self._changes.append(inf if moves else one.change)
            if len(self._changes) >= LEAST_MEASURED:
                noise, flicker = (_quantile(self._changes, QUIET), _quantile(self._lights, 0.5))
                self.change = (
                    max(ABOVE_NOISE * noise, LEAST_CHANGE) if noise < inf else LEAST_CHANGE
                )
                self.light = min(max(ABOVE_NOISE * flicker, LEAST_LIGHT), MOST_LIGHT)
        self._last.append(small)

    def miss(self) -> None:
        """Take into account that a frame was not compared: those beside it are no neighbours."""
        self._last.clear()
        self._unmeasured += 1


def _quantile(measured: deque[float], share: float) -> float:
    return sorted(measured)[int(share * len(measured))]


class FrameGate:
    """Says which frames should be recognised, given those that were.

    One that differs from the last recognised one by more than noise does; then all that differ
    from theirs somewhat, until the scene has settled; and what it has settled to. Light that
    changes slowly does not count. While all moves for long, most frames are let through without
    being compared.

    Args:
        at_least_every_s: after so many seconds a frame is recognised in any case; 0: never.
    """

    def __init__(self, at_least_every_s: float) -> None:
        self._every_s = at_least_every_s
        self._noise = Noise()
        self._reference: Small | None = None
        self._small: Small | None = None  # of the frame at hand, if it is compared
        self._light = np.zeros(3, np.float32)  # since the reference, as far as it was followed
        self._recognised_s = self._seen_s = self._moved_s = 0.0
        self._moving = False
        self._new_frames = 0  # in a row

    def opens(self, small: Callable[[], Small], at_s: float) -> bool:
        """Whether the frame should be recognised; to be asked of every frame, in their order.

        `small` makes its small copy.
        """
        passed_s, self._seen_s = at_s - self._seen_s, at_s
        if self._rushes():
            self._small = None
            self._noise.miss()
            self._new_frames += 1
            return True
        self._small = small()
        self._noise.note(self._small)
        if self._reference is None or passed_s < 0:  # a clock that was put back
            return True
        found = difference(self._small, self._reference)
        sudden = float(np.abs(found.light - self._light).max())
        self._light += (found.light - self._light) * min(1.0, passed_s / FOLLOW_S)
        least = self._noise.change * (HYSTERESIS if self._moving else 1.0)
        if found.change > least or sudden > self._noise.light:
            self._moving, self._moved_s = True, at_s
            self._new_frames += 1
            return True
        self._new_frames = 0
        if self._moving and at_s - self._moved_s >= SETTLED_S:
            self._moving = False
            return True
        return 0 < self._every_s <= at_s - self._recognised_s

    def recognised(self, at_s: float) -> None:
        """Compare with the frame at hand from now on."""
        self._recognised_s = at_s
        if self._small is not None:
            self._reference = self._small
            self._light = np.zeros(3, np.float32)

    def _rushes(self) -> bool:
        """Whether the frame is new in all likelihood, and comes between those that are compared."""
        new = self._new_frames
        return new >= LONG_FRAMES and (new - LONG_FRAMES) % ROUND_FRAMES >= COMPARED_FRAMES
