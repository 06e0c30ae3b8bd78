"""PyTorch's random numbers without PyTorch: the very same bits from the same seed.

Its generator on the CPU is numpy's Mersenne Twister, seeded in the same way.
"""

import math

import numpy as np
from numpy.typing import NDArray


class UniformDraws:
    """What `tensor.uniform_(-bound, bound)` draws after `torch.manual_seed(seed)`, call by call."""

    def __init__(self, seed: int) -> None:
        self._generator = np.random.RandomState(seed & 0xFFFFFFFF)

    def uniform(self, shape: tuple[int, ...], bound: float) -> NDArray[np.float32]:
        """Draw numbers from -bound to bound."""
        low, high = np.float32(-bound), np.float32(bound)
        # PyTorch multiplies and adds in one instruction, which rounds once: float64 is exact here.
        x = self._bits(math.prod(shape)) * (2.0**-24 * np.float64(high - low))
        x += np.float64(low)
        return x.astype(np.float32).reshape(shape)

    def skip(self, count: int) -> None:
        """Draw so many numbers that nobody wants."""
        self._bits(count)

    def _bits(self, count: int) -> NDArray[np.uint32]:
        """Draw integers of 24 bits, as many as a float32 has."""
        return self._generator.randint(0, 2**32, count, dtype=np.uint32) & np.uint32(2**24 - 1)
