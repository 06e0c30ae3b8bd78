"""What all operations here say when they are asked for a second derivative."""

import functools
from collections.abc import Callable
from typing import Any

import torch


def only_once(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Make a backward refuse to be differentiated itself.

    PyTorch's own `once_differentiable` stays silent where the incoming gradient asks for none.
    """

    @functools.wraps(backward)
    def refusing(ctx: Any, *grads: Any) -> Any:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "A frozen operation cannot be differentiated twice: it keeps too little. Call "
                "backward without create_graph, or use the plain network."
            )
        return backward(ctx, *grads)

    return refusing
