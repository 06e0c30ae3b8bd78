"""Tell apart the sums that autograd makes in place, except when a dispatch mode looks on.

Where two gradients of one tensor meet, the engine adds the second to the first in
place if nobody else holds the first. Under any dispatch mode it makes a third tensor
instead. Whoever counts memory under such a mode must know these sums.
"""

import sys
from typing import Any

import torch
from torch import Tensor
from torch.autograd import graph
from torch.utils._python_dispatch import TorchDispatchMode

ADD = torch.ops.aten.add.Tensor
Uses = tuple[int, int]


def uses_if_summed_by_engine(first: Tensor, depth: int = 1) -> Uses | None:
    """Return how often `first` and its storage are held; None if this is not such a sum.

    Args:
        first: the first of the two gradients.
        depth: of the mode's `__torch_dispatch__`, counted from the caller of this.
    """
    if torch._C._current_graph_task_id() == -1:
        return None
    try:
        caller = sys._getframe(depth + 1).f_code
    except ValueError:  # a thread of the engine, with no Python below it
        caller = None
    # A formula or hook written in Python would be the caller itself.
    if caller is not None and caller is not graph._engine_run_backward.__code__:
        return None
    try:
        storage = first.untyped_storage()
        uses: int = first._use_count()  # type: ignore[attr-defined]
        storage_uses = torch._C._storage_Use_Count(storage._cdata)
    except (AttributeError, NotImplementedError):  # an older torch; a sparse gradient
        return None
    # Nothing can be added in place to an expanded tensor.
    return (uses, storage_uses) if storage.nbytes() >= first.nbytes else None


def sole_uses() -> Uses | None:
    """Return the uses, as seen from a mode, of a first gradient that only the engine holds.

    None where they cannot be known: inside another mode, which holds gradients too.
    """
    if torch._C._len_torch_dispatch_stack():
        return None
    mode = _FirstSum()  # type: ignore[no-untyped-call]
    with torch.inference_mode(False), torch.enable_grad():
        x = torch.zeros(1, requires_grad=True, device="cpu")
        y = x * 1
        with mode:
            (y * 1 + y * 2).backward()  # type: ignore[no-untyped-call]
    return mode.uses


class _FirstSum(TorchDispatchMode):  # type: ignore[no-untyped-call]
    uses: Uses | None = None

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is ADD:
            self.uses = uses_if_summed_by_engine(args[0]) or self.uses
        return func(*args, **(kwargs or {}))

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # see LiveTensors
