"""The scales: what an operation keeps for backward, in bytes."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def run_and_weigh(
    op: Callable[..., Tensor], inputs: Sequence[Tensor], frozen: frozenset[int]
) -> tuple[Tensor, int]:
    """Return the output and the bytes of all storages kept for backward, weights left out."""
    storages = {}

    def keep(x: Tensor) -> Tensor:
        # The tensor is held, too: its address must not be used again.
        storages[x.untyped_storage().data_ptr()] = (x.untyped_storage().nbytes(), x)
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        y = op(*inputs)
    weights = {inputs[i].untyped_storage().data_ptr() for i in frozen}
    return y, sum(size for at, (size, _) in storages.items() if at not in weights)
