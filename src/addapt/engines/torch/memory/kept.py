"""Kept bytes: what autograd keeps of the forward pass until backward has used it."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import accumulate
from typing import Any

from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from addapt.engines.torch.freezing.held import tensors_held_by

OUTSIDE = "(outside the model)"


class KeptTensors:
    """Counts the bytes that operations in this context save for backward.

    A storage counts once and in full, however many operations save it or a part of
    it, until the last of them has let it go. Not counted are leaves that require
    gradients, the tensors that `model` holds, and `alive`: they are there anyway.
    What is hidden on a `ctx` instead of saved cannot be seen, nor what checkpointing
    computes anew during backward.

    Args:
        model: its modules are told apart in `by_layer`.
        alive: further tensors that do not count.
    """

    def __init__(self, model: nn.Module | None = None, alive: Iterable[Tensor] = ()) -> None:
        self._model = model
        tensors = [*alive, *(tensors_held_by(model) if model is not None else ())]
        self._alive = {memory_of(tensor)[0] for tensor in tensors}
        self._holders: Counter[int] = Counter()
        self._sizes: dict[int, tuple[str, int]] = {}
        self._changes: list[tuple[str, int]] = []
        self._layers = [OUTSIDE]
        self._exit = ExitStack()

    def __enter__(self) -> "KeptTensors":
        with ExitStack() as stack:
            if self._model is not None:
                for name, module in self._model.named_modules():
                    for hook in self._name_layer(name, module):
                        stack.callback(hook.remove)
            stack.enter_context(saved_tensors_hooks(self._keep, _unpack))
            self._exit = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._exit.close()

    @property
    def peak_bytes(self) -> int:
        """The most bytes that were kept at once."""
        return max(self._totals())

    @property
    def by_layer(self) -> dict[str, int]:
        """The bytes that each module kept at that moment, by its dotted name.

        Each counts for the innermost module that saved it first; the model itself is
        called "", and `OUTSIDE` is what the step does around it.
        """
        totals = self._totals()
        layers: Counter[str] = Counter()
        for layer, change in self._changes[: totals.index(max(totals))]:
            layers[layer] += change
        return {layer: kept for layer, kept in layers.items() if kept}

    def _totals(self) -> list[int]:
        return [0, *accumulate(change for _, change in self._changes)]

    def _name_layer(self, name: str, module: nn.Module) -> Iterator[Any]:
        yield module.register_forward_pre_hook(lambda *_: self._layers.append(name))
        yield module.register_forward_hook(lambda *_: self._leave_layer(), always_call=True)

    def _leave_layer(self) -> None:
        self._layers.pop()

    def _keep(self, tensor: Tensor) -> "_Kept":
        # The tensor itself may own the operation that saves it: a circle, never freed.
        kept = _Kept(tensor.detach())
        base = tensor if tensor._base is None else tensor._base
        key, nbytes = memory_of(tensor)
        if key in self._alive or (base.is_leaf and base.requires_grad):
            return kept
        if not self._holders[key]:
            self._sizes[key] = (self._layers[-1], nbytes)
            self._changes.append(self._sizes[key])
        self._holders[key] += 1
        kept.release = partial(self._release, key)
        return kept

    def _release(self, key: int) -> None:
        self._holders[key] -= 1
        if not self._holders[key]:
            layer, nbytes = self._sizes.pop(key)
            self._changes.append((layer, -nbytes))


class _Kept:
    """Stands in for a saved tensor; autograd drops it when backward has used it."""

    __slots__ = ("release", "tensor")

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self.release: Callable[[], None] | None = None

    def __del__(self) -> None:
        if self.release is not None:
            self.release()


def kept_bytes(step: Callable[[], object], alive: Iterable[Tensor] = ()) -> int:
    """Run `step` once and return the most bytes that autograd kept at once.

    Args:
        step: a forward pass, or a whole training step.
        alive: tensors that do not count, such as frozen weights; leaves that require
            gradients never do.
    """
    with KeptTensors(alive=alive) as kept:
        step()
    return kept.peak_bytes


def _unpack(kept: _Kept) -> Tensor:
    return kept.tensor


def memory_of(tensor: Tensor) -> tuple[int, int]:
    """Return a key that tells the owners of tensors' memory apart, and the owner's bytes."""
    try:
        storage = tensor.untyped_storage()
    except NotImplementedError:  # sparse, or packed for oneDNN
        return id(tensor), tensor.numel() * tensor.element_size()
    return storage._cdata, storage.nbytes()
