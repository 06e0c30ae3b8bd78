"""Parallel adapters: the formula by hand and in plain torch, and what they keep."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from addapt.engines.torch.freezing import FrozenConv2d
from addapt.engines.torch.methods.convolutions import Shift
from addapt.engines.torch.methods.parallel_adapter import Parallel, window_centres
from addapt.engines.torch.ops.conv import ConvGeometry
from addapt.methods import ParallelAdapter
from tests.engines.torch.gates.small_backbones import KINDS
from tests.engines.torch.methods.plain_twins import (
    assert_gradients_of_plain_torch,
    kept_bytes,
    move_all,
    small_convolution,
)


def test_an_adapter_by_hand() -> None:
    """A 3 x 3 convolution that adds up three pixels in a row: 1 + 2, 1 + 2 + 4, 2 + 4."""
    weight = torch.zeros(1, 1, 3, 3)
    weight[0, 0, 1] = 1
    geometry = ConvGeometry(padding=(1, 1), activation="relu")
    convolution = FrozenConv2d(weight, torch.tensor([-5.0]), geometry)
    layer = Parallel(convolution)
    x = torch.tensor([1.0, 2.0, 4.0])[None, None, None]
    assert layer(convolution, x).flatten().tolist() == [0, 2, 1]
    assert layer.adapter.bias is not None
    with torch.no_grad():
        layer.adapter.weight.fill_(3)
        layer.adapter.bias.fill_(0.5)
    # -2 + 3 + 0.5, 2 + 6 + 0.5, 1 + 12 + 0.5
    assert layer(convolution, x).flatten().tolist() == [1.5, 8.5, 13.5]
    residual = torch.tensor([-2.0, 1.0, 0.0])[None, None, None]
    assert layer(convolution, x, residual).flatten().tolist() == [0, 9.5, 13.5]


def rule(layer: nn.Module, conv: nn.Conv2d, bn: nn.Module, x: Tensor) -> Tensor:
    y: Tensor = bn(conv(x))
    if isinstance(layer, Shift):
        assert max(conv.kernel_size) == 1
        return y + layer.shift[:, None, None]
    assert isinstance(layer, Parallel)
    assert max(conv.kernel_size) > 1
    return y + F.conv2d(x, layer.adapter.weight, layer.adapter.bias, conv.stride)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_plain_torch(kind: str) -> None:
    assert_gradients_of_plain_torch(kind, ParallelAdapter(), rule, move_all)


@pytest.mark.parametrize("kernel", [2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", [0, 1, 3])
def test_the_adapter_sees_the_middle_of_each_window(kernel: int, stride: int, padding: int) -> None:
    """A convolution whose kernel is 1 in its middle and else 0 says where that is."""
    convolution = small_convolution(
        2, 2, kernel, stride=stride, padding=padding, groups=2, activation="none"
    )
    middle = torch.zeros(2, 1, kernel, kernel)
    middle[:, :, (kernel - 1) // 2, (kernel - 1) // 2] = 1
    for layout in (torch.contiguous_format, torch.channels_last):
        x = torch.randn(2, 2, 9, 8).contiguous(memory_format=layout)
        centres = window_centres(x, convolution)
        assert torch.equal(centres, F.conv2d(x, middle, None, stride, padding, groups=2))
        assert centres.is_contiguous(memory_format=layout)


def test_the_whole_map_is_not_copied() -> None:
    x = torch.randn(1, 2, 5, 6)
    assert window_centres(x, small_convolution(2, 2)).data_ptr() == x.data_ptr()


@pytest.mark.parametrize(("stride", "groups"), [(1, 1), (2, 4)])
def test_memory(stride: int, groups: int) -> None:
    convolution = small_convolution(4, 8, stride=stride, groups=groups)
    kept, x, y = kept_bytes(Parallel(convolution), convolution)
    assert kept == 4 * x // stride**2 + y // 8
