"""Kept bytes: what is saved for backward, once each, for as long as it is held."""

import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from addapt.engines.torch.memory import KeptTensors, kept_bytes
from addapt.engines.torch.memory.kept import OUTSIDE


def leaf(*shape: int, device: str = "cpu") -> Tensor:
    return torch.ones(shape, requires_grad=True, device=device)


def backward(loss: Tensor) -> Tensor:
    loss.backward()  # type: ignore[no-untyped-call]
    return loss


X = leaf(10, 10)

CASES: list[tuple[str, Callable[[], object], int]] = [
    ("exp keeps its result", lambda: X.exp(), 400),
    ("sin keeps its input, a leaf", lambda: X.sin(), 0),
    ("and one that is no leaf", lambda: (X * 2).sin(), 400),
    ("nothing for a sum", lambda: (X + 1).sum(), 0),
    ("nothing without a gradient", lambda: X.detach().exp(), 0),
    ("saved twice, kept once", lambda: (y := X.exp()).sin() + y.cos(), 400),
    ("of a view the whole storage", lambda: (X * 2)[0].sin(), 400),
    ("a view of a leaf", lambda: X.t() @ torch.eye(10).requires_grad_(), 0),
    ("constants that are saved", lambda: X * torch.ones(10, 10), 400),
    ("bytes of other types", lambda: X.to(torch.float64).exp(), 800),
    ("one of two after the other", lambda: [backward(X.exp().sum()) for _ in range(4)], 400),
    ("two at once", lambda: [X.exp(), X.exp()], 800),
    ("an output saved in place", lambda: (X * 2).exp_(), 400),
    ("on meta", lambda: backward(leaf(10, 10, device="meta").exp().sin().sum()), 400),
]


@pytest.mark.parametrize(("step", "count"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_kept_bytes(step: Callable[[], object], count: int) -> None:
    assert kept_bytes(step) == count


def test_a_parameter_is_not_counted_and_what_else_is_alive_can_be_named() -> None:
    x, weight = torch.ones(7, 10), nn.Parameter(torch.ones(10, 10))
    assert kept_bytes(lambda: x @ weight) == x.nbytes
    weight.requires_grad_(False)
    x.requires_grad_()
    assert kept_bytes(lambda: x @ weight) == weight.nbytes
    assert kept_bytes(lambda: x @ weight, alive=[weight]) == 0


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="needs oneDNN")  # type: ignore[no-untyped-call]
def test_tensors_without_a_storage() -> None:
    class Save(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, packed: Tensor) -> Tensor:
            ctx.save_for_backward(packed)
            return x * 1

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
            (packed,) = ctx.saved_tensors
            return grads[0] * packed.to_dense(), None

    x = leaf(3)
    packed = torch.full((3,), 5.0).to_mkldnn()

    def step() -> None:
        backward(Save.apply(x, packed).sum())  # type: ignore[no-untyped-call]

    assert kept_bytes(step) == 12
    assert kept_bytes(step, alive=[packed]) == 0
    assert x.grad is not None
    assert x.grad.tolist() == [10.0] * 3


def test_micro_batches_keep_a_part() -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    x = torch.ones(12, 8)

    def step(micro_batch: int) -> None:
        for part in x.clone().split(micro_batch):  # type: ignore[no-untyped-call]
            backward(model(part.clone()).sum())

    whole = kept_bytes(lambda: step(12))
    assert whole == 12 * (8 + 16) * 4
    assert kept_bytes(lambda: step(3)) == whole // 4


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.block = nn.Sequential(nn.BatchNorm2d(4), nn.ReLU())
        self.register_buffer("mask", torch.ones(4, 1, 1))
        self.scale = torch.full((4, 1, 1), 2.0)  # a plain attribute
        self.requires_grad_(False)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        x = self.block(self.first(x) * self.mask * self.scale)
        return x.exp()


def test_by_layer() -> None:
    model, x = Net(), leaf(2, 3, 5, 5)
    map_bytes = 2 * 4 * 5 * 5 * 4
    with KeptTensors(model) as kept:
        backward((model(x) ** 2).sum())
    expected = {"block.0": map_bytes, "block.1": map_bytes, "": map_bytes}
    # The square saves what exp, in the model, has saved already.
    assert kept.by_layer == expected
    assert kept.peak_bytes == sum(expected.values())


def test_what_happens_around_the_model_has_its_own_name() -> None:
    model, x = Net(), leaf(2, 3, 5, 5)
    with KeptTensors(model) as kept:
        (model(x) * 2).sin()
    assert kept.by_layer[OUTSIDE] == 2 * 4 * 5 * 5 * 4


def test_by_layer_is_what_was_kept_at_the_peak() -> None:
    small, large = nn.Sequential(nn.Tanh()), nn.Sequential(nn.Sigmoid())
    model = nn.ModuleDict({"small": small, "large": large})
    with KeptTensors(model) as kept:
        backward(small(X[:1] * 2).sum())
        backward(large(X * 2).sum())
        backward(small(X[:2] * 2).sum())
    assert kept.by_layer == {"large.0": 400}


def test_gradients_are_those_of_a_plain_run_and_no_hook_stays() -> None:
    model, x = Net(), leaf(2, 3, 5, 5)
    backward(model(x).sum())
    expected, x.grad = x.grad, None
    with KeptTensors(model):
        backward(model(x).sum())
    assert x.grad is not None
    torch.testing.assert_close(x.grad, expected, rtol=0, atol=0)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_failing_forward_leaves_its_layer() -> None:
    class Fails(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise ValueError("no")

    model = Fails()
    with KeptTensors(model) as kept:
        with pytest.raises(ValueError, match="no"):
            model(X)
        y = X.exp()
    assert kept.by_layer == {OUTSIDE: y.nbytes}
    assert not model._forward_hooks


def test_a_forward_without_backward_is_freed() -> None:
    with KeptTensors() as kept:
        y = X.exp()
        dead = weakref.ref(y)
        del y
        assert dead() is None
    assert kept.peak_bytes == 400


def test_checkpointing_keeps_only_its_input() -> None:
    def deep(x: Tensor) -> Tensor:
        return x.exp().sin().exp().sin()

    assert kept_bytes(lambda: backward(deep(X * 2).sum())) == 800
    assert kept_bytes(lambda: backward(checkpoint(deep, X * 2, use_reentrant=False).sum())) == 400
