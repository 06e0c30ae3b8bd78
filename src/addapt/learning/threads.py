"""How many processor threads to learn with, found by trying."""

import statistics
import time

import torch

from addapt.engines.torch.backbones import Backbone

TURNS = 3
BATCH, PX = 16, 96


@torch.no_grad()
def use_fastest_threads(backbone: Backbone, images: int = BATCH) -> int:
    """Time the backbone with one thread and with all, in turn; set and return the faster number.

    All cores are best when they are free. When other programs use them, threads that wait for
    each other can be several times slower than one thread alone.

    Args:
        backbone: what is timed.
        images: of 96 px, in memory at once.
    """
    reference = next(backbone.parameters())
    candidates = (1, torch.get_num_threads())
    if reference.device.type != "cpu" or candidates[1] == 1:
        return candidates[1]
    x = torch.zeros(images, 3, PX, PX, dtype=reference.dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    seconds: dict[int, list[float]] = {threads: [] for threads in candidates}
    backbone(x)  # the first pass also allocates
    for _ in range(TURNS):
        for threads in candidates:
            torch.set_num_threads(threads)
            started = time.perf_counter()
            backbone(x)
            seconds[threads].append(time.perf_counter() - started)
    fastest = min(candidates, key=lambda threads: statistics.median(seconds[threads]))
    torch.set_num_threads(fastest)
    return fastest
