"""How many processor threads to learn with, found by trying."""

import statistics
import time

import numpy as np

from addapt.engines.base import Engine

TURNS = 3
BATCH, PX = 16, 96
FEW_IMAGES = 4  # where memory is short


def use_fastest_threads(engine: Engine, images: int = BATCH) -> int:
    """Time the backbone with one thread and with all, in turn; set and return the faster number.

    All cores are best when they are free. When other programs use them, threads that wait for
    each other can be several times slower than one thread alone. `images` are in memory at once.
    """
    candidates = (1, engine.threads)
    if engine.device != "cpu" or candidates[1] == 1:
        return candidates[1]
    x = np.zeros((images, PX, PX, 3), np.uint8)
    seconds: dict[int, list[float]] = {threads: [] for threads in candidates}
    engine.features(x)  # the first pass also allocates
    for _ in range(TURNS):
        for threads in candidates:
            engine.threads = threads
            started = time.perf_counter()
            engine.features(x)
            seconds[threads].append(time.perf_counter() - started)
    engine.threads = min(candidates, key=lambda threads: statistics.median(seconds[threads]))
    return engine.threads
