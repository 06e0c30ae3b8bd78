"""What the backward passes of all operations here have in common."""

import functools
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def asks_for_gradient(*tensors: Tensor | None) -> bool:
    """Say whether a lean backward is to be kept: a tensor asks for a gradient, by autograd alone.

    What `torch.func` transforms, and what is compiled or exported, gets PyTorch's own operations,
    which compute the same and keep for backward what suits these tools: they look inside, where
    ours rely on autograd's order.
    """
    if not torch.is_grad_enabled() or only_plain_serves():
        return False
    return any(tensor is not None and tensor.requires_grad for tensor in tensors)


def only_plain_serves() -> bool:
    """Say whether the operations of this moment are transformed, compiled or exported."""
    # torch.autograd.Function.apply asks the same; there is no public way.
    return torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()


def only_once(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Make a backward refuse to be differentiated itself.

    PyTorch's own `once_differentiable` stays silent where the incoming gradient asks for none.
    """

    @functools.wraps(backward)
    def refusing(ctx: Any, *grads: Tensor) -> Any:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "A frozen operation cannot be differentiated twice: it keeps too little. Call "
                "backward without create_graph, or use the plain network."
            )
        return backward(ctx, *grads)

    return refusing


def is_nobody_elses(grad: Tensor) -> bool:
    """Say whether a gradient may be overwritten: only the backward that asks holds it.

    To be called by a backward that `only_once` decorates, with its own argument. Autograd
    often hands the same tensor to several backwards; then, and wherever it cannot be known,
    the answer is no.
    """
    uses = _uses(grad)
    return uses is not None and uses == _sole_uses()


def _uses(grad: Tensor) -> tuple[int, int, int] | None:
    """Count who holds the tensor in C++, its memory, and the Python object."""
    try:
        storage_uses: int = torch._C._storage_Use_Count(grad.untyped_storage()._cdata)
        return grad._use_count(), storage_uses, sys.getrefcount(grad)  # type: ignore[attr-defined]
    except (AttributeError, NotImplementedError):  # another version of PyTorch
        return None


@functools.lru_cache
def _sole_uses() -> tuple[int, int, int] | None:
    """Count the uses of a gradient that is certainly nobody else's."""
    seen: list[tuple[int, int, int] | None] = []

    class Probe(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        @only_once
        def backward(ctx: Any, grad: Tensor) -> Tensor:
            is_probed(grad)
            return grad

    def is_probed(grad: Tensor) -> None:  # as deep in calls as `is_nobody_elses` is
        seen.append(_uses(grad))

    with torch.inference_mode(False), torch.enable_grad():
        x = torch.zeros(2, requires_grad=True)
        y: Tensor = Probe.apply(x * 1)  # type: ignore[no-untyped-call]
        y.square().sum().backward()  # type: ignore[no-untyped-call]
    return seen[0]
