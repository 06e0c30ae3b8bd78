"""Which tensors are alive at once: the bytes of their storages, seen operation by operation."""

import weakref
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from addapt.engines.torch.memory.accumulation import ADD, sole_uses, uses_if_summed_by_engine
from addapt.engines.torch.memory.heap import Heap
from addapt.memory.allocator import is_reusing_freed_memory

# Makes a tensor of Python values, and calls it a view.
LIFT = torch.ops.aten.lift_fresh.default


class LiveTensors(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of tensors allocated inside this context and not yet freed.

    A storage counts once however many views it has, from the operation that made
    it until its last owner lets go, be that Python or autograd. It works on any
    device; on `meta`, where nothing is computed, it tells what a real run would
    allocate. Tensors from before the context do not count, nor does what an
    operation uses up inside itself.

    `live_bytes` is what is alive now (frees are seen after the context's end
    too), `peak_bytes` the most there has been.

    Args:
        with_holes: count in the peak what `reusing_freed_memory` holds on to, too.
    """

    def __init__(self, *, with_holes: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live_bytes = 0
        self.peak_bytes = 0
        self._live: dict[int, tuple[weakref.ref[Any], int]] = {}
        self._allocates: dict[int, bool] = {}
        self._sole_uses = sole_uses()
        self._with_holes = with_holes
        self._heap = Heap()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # To skip it, torch would import all of its compiler, tens of megabytes of it.
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        # Operations are never freed, and their id is found quicker than their hash.
        allocates = self._allocates.get(id(func))
        if allocates is None:
            allocates = self._allocates[id(func)] = _allocates(func)
        out = func(*args, **kwargs) if kwargs else func(*args)
        if not allocates:
            return out
        given = (*args, *kwargs.values()) if kwargs else args
        for tensor in (out,) if isinstance(out, Tensor) else _tensors(out):
            self._see(tensor, () if func is LIFT else given)
        held_bytes = self.live_bytes + self._heap.hole_bytes
        if held_bytes > self.peak_bytes and not (func is ADD and self._in_place(args[0])):
            self.peak_bytes = held_bytes
        return out

    def _see(self, tensor: Tensor, given: tuple[Any, ...]) -> None:
        owner, key, nbytes = memory_of(tensor)
        known = self._live.get(key)
        if known is not None:  # given as `out=`, it may have grown
            self._live[key] = (known[0], nbytes)
            self.live_bytes += nbytes - known[1]
            return
        for old in given:
            if isinstance(old, Tensor) and memory_of(old)[1] == key:
                return
        self._live[key] = (weakref.ref(owner, partial(self._freed, key)), nbytes)
        self.live_bytes += nbytes
        if self._with_holes:
            self._place(key, nbytes)

    def _place(self, key: int, nbytes: int) -> None:
        if is_reusing_freed_memory():
            self._heap.allocate(key, nbytes)
        else:
            self._heap = Heap()  # the holes were given back

    def _freed(self, key: int, _: Any) -> None:
        self.live_bytes -= self._live.pop(key)[1]
        self._heap.free(key)

    def _in_place(self, first: Tensor) -> bool:
        """Tell whether a sum would take the memory of its first term, were it not for us."""
        uses = uses_if_summed_by_engine(first, depth=2)
        return uses is not None and uses == self._sole_uses


def memory_of(tensor: Tensor) -> tuple[Any, int, int]:
    """Return who owns a tensor's memory, a key that tells owners apart, and its bytes."""
    try:
        storage = tensor.untyped_storage()
    except NotImplementedError:  # sparse, or packed for oneDNN
        return tensor, id(tensor), tensor.numel() * tensor.element_size()
    return storage, storage._cdata, storage.nbytes()


def _tensors(out: Any) -> Iterator[Tensor]:
    if isinstance(out, Tensor):
        yield out
    elif isinstance(out, (tuple, list)):
        for each in out:
            yield from _tensors(each)


def _allocates(func: Any) -> bool:
    """Tell whether an operation may return memory that was not there before it."""
    schema = func._schema
    return (
        func is LIFT
        or any(result.alias_info is None for result in schema.returns)
        or any(argument.is_out for argument in schema.arguments)
        or "resize" in schema.name
    )
