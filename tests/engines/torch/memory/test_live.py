"""Bytes of live tensors, to the byte."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from addapt.engines.torch.memory import LiveTensors
from addapt.memory import configure_allocator, measure_process_peak

COUNT = 1000  # elements of a tensor
ROW = 4 * COUNT  # its bytes
Step = Callable[[Tensor], Tensor]

both_devices = pytest.mark.parametrize("device", ["cpu", "meta"])


def row(device: str = "cpu", **options: Any) -> Tensor:
    return torch.ones(COUNT, device=device, **options)


@both_devices
def test_a_known_sequence(device: str) -> None:
    with LiveTensors() as live:
        a = row(device)
        b = a + 1
        assert live.live_bytes == 2 * ROW
        c = (b * 2).exp()  # the product lives until exp is done
        assert (live.live_bytes, live.peak_bytes) == (3 * ROW, 4 * ROW)
        del a, b
        assert live.live_bytes == ROW
    del c
    assert (live.live_bytes, live.peak_bytes) == (0, 4 * ROW)


@both_devices
def test_views_and_work_in_place_take_nothing(device: str) -> None:
    with LiveTensors() as live:
        x = row(device)
        y = x.view(10, -1).t()[2:].detach()
        x.mul_(2).add_(1)
        torch.exp(x, out=x)
        parts = x.split(10)  # type: ignore[no-untyped-call]
        assert live.live_bytes == ROW
        del x, parts
        assert live.live_bytes == ROW  # y still owns it
        del y
        assert live.live_bytes == 0


@both_devices
def test_tensors_from_before_do_not_count(device: str) -> None:
    x = row(device)
    with LiveTensors() as live:
        x.add_(1)
        y = x[1:]
        torch.exp(x, out=x)
        parts = torch.unsafe_chunk(x, 2)  # views whose schema does not say so
        assert live.live_bytes == 0
        z = y.exp()
        assert live.live_bytes == ROW - 4
    del x, y, z, parts
    assert live.live_bytes == 0


@both_devices
def test_an_output_that_grows(device: str) -> None:
    with LiveTensors() as live:
        out = torch.empty(0, device=device)
        torch.exp(row(device), out=out)
        assert live.live_bytes == ROW
        out.resize_(2 * COUNT)
        assert live.peak_bytes == 2 * ROW


@both_devices
def test_several_results_and_other_types(device: str) -> None:
    with LiveTensors() as live:
        x = torch.ones(COUNT, dtype=torch.bfloat16, device=device)
        assert live.live_bytes == 2 * COUNT
        values, places = x.sort()
        assert live.live_bytes == 2 * COUNT + 2 * COUNT + 8 * COUNT
    del values, places


def test_values_from_python_count() -> None:
    with LiveTensors() as live:
        x = torch.tensor([1.0, 2.0, 3.0])
        assert live.live_bytes == 12
    del x


def test_tensors_without_a_storage() -> None:
    with LiveTensors() as live:
        x = torch.eye(4).to_sparse()
        assert live.peak_bytes > 64
    del x
    assert live.live_bytes == 0


def test_torchs_compiler_is_not_imported_for_it() -> None:
    # torch wraps the method where it will import torch._dynamo, 70 MB, on the first call.
    assert not hasattr(LiveTensors.__torch_dispatch__, "__wrapped__")


class Twice(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * 2

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        first, second = grads[0] * 2, grads[0] * 3
        return first + second


def plain(x: Tensor) -> Tensor:
    return x.exp().sin()


def branches(x: Tensor) -> Tensor:
    y = x * 2
    return (y.exp() + y.sin() + y.cos()) * 2


def sums(x: Tensor) -> Tensor:
    y = x * 2
    return torch.stack([(y * 2).sum(), (y * 3).sum()])


def residual(x: Tensor) -> Tensor:
    y = x * 2
    for _ in range(3):
        y = y + y.exp()
    return y * 2


def shared_gradient(x: Tensor) -> Tensor:
    y = x * 2
    z = y * 1
    return (y + (z + z.exp())) ** 2


def custom(x: Tensor) -> Tensor:
    y = x * 2
    return (y + Twice.apply(y)) * 3  # type: ignore[no-untyped-call, no-any-return]


# The most rows alive at once.
PEAKS: list[tuple[Step, int]] = [
    (plain, 3),
    (branches, 6),
    (sums, 2),  # a third, were gradients not added in place
    (residual, 5),
    (shared_gradient, 5),
    (custom, 5),
]
each_peak = pytest.mark.parametrize(
    ("forward", "rows"), PEAKS, ids=[forward.__name__ for forward, _ in PEAKS]
)


@both_devices
@each_peak
def test_forward_and_backward(device: str, forward: Step, rows: int) -> None:
    x = row(device, requires_grad=True)
    with LiveTensors() as live:
        forward(x).sum().backward()  # type: ignore[no-untyped-call]
        assert x.grad is not None
        assert live.live_bytes == ROW
        x.grad = None
        assert live.live_bytes == 0
    assert live.peak_bytes // ROW == rows
    assert live.peak_bytes % ROW < 100  # the scalars


def peak_rows_of_the_process(forward: Step) -> float:
    """Return the peak of a step by what the system says of this process, in rows."""
    x = torch.ones(2_000_000, requires_grad=True)

    def step() -> None:
        x.grad = None
        forward(x).sum().backward()  # type: ignore[no-untyped-call]

    step()
    x.grad = None
    peak = measure_process_peak(step).peak_bytes
    assert peak is not None
    return peak / 8_000_000


@pytest.mark.skipif(not configure_allocator(), reason="needs glibc")
def test_the_process_takes_as_much_when_nobody_looks_on() -> None:
    # In a process of its own: what other tests left in the heap would count.
    program = (
        "from tests.engines.torch.memory.test_live import *\n"
        "configure_allocator()\n"
        "print(*[round(peak_rows_of_the_process(forward), 1) for forward, _ in PEAKS])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[4],
    )
    measured = [float(word) for word in done.stdout.split()]
    assert measured == pytest.approx([rows for _, rows in PEAKS], abs=0.3)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 9)), max_size=20))
def test_any_order_of_making_and_freeing(steps: list[tuple[int, int]]) -> None:
    held: list[Tensor] = []
    sizes: list[int] = []
    peak = 0
    with LiveTensors() as live:
        for count, place in steps:
            held.append(torch.empty(count))
            sizes.append(4 * count)
            peak = max(peak, sum(sizes))
            if place < len(held) - 1:
                del held[place], sizes[place]
            assert live.live_bytes == sum(sizes)
    assert live.peak_bytes == peak
