"""Which sums of gradients autograd makes in place."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from addapt.engines.torch.memory.accumulation import ADD, sole_uses, uses_if_summed_by_engine


class Sums(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes of each sum whether the engine would have made it in place; None: not its sum."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.sole_uses = sole_uses()
        self.in_place: list[bool | None] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is ADD:
            uses = uses_if_summed_by_engine(args[0])
            self.in_place.append(None if uses is None else uses == self.sole_uses)
        return func(*args, **(kwargs or {}))


class Twice(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        first, second = grads[0] * 2, grads[0] * 3
        return first + second


def two_branches(x: Tensor) -> Tensor:
    y = x * 2
    return torch.stack([(y * 2).sum(), (y * 3).sum()])


def one_gradient_for_two(x: Tensor) -> Tensor:
    y = x * 2
    z = x * 3
    firsts = [(y * 3).sum(), (z * 3).sum()]
    return torch.stack([*firsts, ((y + z) * 7).sum()])


def expanded_gradient(x: Tensor) -> Tensor:
    y = x * 2
    first = (y * 3).sum()
    return torch.stack([first, y.sum()])


def sum_in_a_formula(x: Tensor) -> Tensor:
    result: Tensor = Twice.apply(x)  # type: ignore[no-untyped-call]
    return result


def sum_in_a_hook(x: Tensor) -> Tensor:
    y = x * 2
    y.register_hook(lambda grad: grad + 1)  # type: ignore[no-untyped-call]
    return y


def sum_in_forward(x: Tensor) -> Tensor:
    return x + 1


# What torch's profiler shows of a plain run: aten::add_ (True) or aten::add (False).
CASES: list[tuple[Callable[[Tensor], Tensor], list[bool | None]]] = [
    (two_branches, [True]),
    (one_gradient_for_two, [None, False, True, True]),
    (expanded_gradient, [None]),
    (sum_in_a_formula, [None]),
    (sum_in_a_hook, [None]),
    (sum_in_forward, [None]),
]


def test_unknown_inside_another_mode() -> None:
    with Sums():
        assert sole_uses() is None


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize(
    ("forward", "in_place"), CASES, ids=[forward.__name__ for forward, _ in CASES]
)
def test_sums_in_place(
    forward: Callable[[Tensor], Tensor], in_place: list[bool | None], device: str
) -> None:
    x = torch.ones(10, requires_grad=True, device=device)
    with Sums() as sums:
        forward(x).sum().backward()  # type: ignore[no-untyped-call]
    assert sums.in_place == in_place
