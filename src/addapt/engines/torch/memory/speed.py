"""How fast this machine computes, roughly, found by trying for a moment."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F

TURNS = 10
CHANNELS, SIDE, KERNEL = 64, 56, 3
SMALL_OPERATIONS = 200


@dataclass(frozen=True)
class Speed:
    """Seconds of one multiply-add in a convolution, of one byte written, of one operation."""

    multiply_add_s: float
    byte_s: float
    call_s: float


@lru_cache
def try_speed() -> Speed:
    """Time a convolution, a pass over memory and a small operation; about a tenth of a second."""
    x = torch.zeros(1, CHANNELS, SIDE, SIDE).contiguous(memory_format=torch.channels_last)
    weight = torch.zeros(CHANNELS, CHANNELS, KERNEL, KERNEL)
    large = torch.zeros(1 << 21)
    small = torch.zeros(1)

    def many() -> None:
        for _ in range(SMALL_OPERATIONS):
            small.add(1)

    with torch.no_grad():
        convolution_s = _fastest_s(lambda: F.conv2d(x, weight, padding=KERNEL // 2))
        pass_s = _fastest_s(lambda: F.relu(large))
        return Speed(
            multiply_add_s=convolution_s / (SIDE * SIDE * weight.numel()),
            byte_s=pass_s / large.nbytes,
            call_s=_fastest_s(many) / SMALL_OPERATIONS,
        )


def _fastest_s(work: Callable[[], object]) -> float:
    """Return the shortest time of several: other programs make it longer, never shorter."""
    times = []
    for _ in range(TURNS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)
