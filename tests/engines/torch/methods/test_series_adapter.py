"""Series adapters: the formula by hand and in plain torch, and what they keep."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from addapt.engines.torch.freezing import FrozenConv2d
from addapt.engines.torch.methods.convolutions import Shift
from addapt.engines.torch.methods.series_adapter import Series
from addapt.engines.torch.ops.conv import ConvGeometry
from addapt.methods import SeriesAdapter
from tests.engines.torch.gates.small_backbones import KINDS
from tests.engines.torch.methods.plain_twins import (
    assert_gradients_of_plain_torch,
    kept_bytes,
    move_all,
    small_convolution,
)


def test_an_adapter_by_hand() -> None:
    """One pixel, one 3 x 3 window that sees only its middle: z = (2 * 3 + 1, 3 - 5) = (7, -2)."""
    weight = torch.zeros(2, 1, 3, 3)
    weight[0, 0, 1, 1], weight[1, 0, 1, 1] = 2, 1
    geometry = ConvGeometry(padding=(1, 1), activation="relu")
    convolution = FrozenConv2d(weight, torch.tensor([1.0, -5.0]), geometry)
    layer = Series(convolution)
    x = torch.full((1, 1, 1, 1), 3.0)
    assert layer(convolution, x).flatten().tolist() == [7, 0]
    assert layer.adapter.bias is not None
    with torch.no_grad():
        layer.adapter.weight.copy_(torch.tensor([[0.0, 1.0], [1.0, 0.0]])[:, :, None, None])
        layer.adapter.bias.copy_(torch.tensor([0.5, -1.0]))
    # z + A z + bias = (7 - 2 + 0.5, -2 + 7 - 1)
    assert layer(convolution, x).flatten().tolist() == [5.5, 4]
    residual = torch.tensor([-6.0, 1.0])[None, :, None, None]
    assert layer(convolution, x, residual).flatten().tolist() == [0, 5]


def rule(layer: nn.Module, conv: nn.Conv2d, bn: nn.Module, x: Tensor) -> Tensor:
    z: Tensor = bn(conv(x))
    if isinstance(layer, Shift):
        assert max(conv.kernel_size) == 1
        return z + layer.shift[:, None, None]
    assert isinstance(layer, Series)
    assert max(conv.kernel_size) > 1
    return z + F.conv2d(z, layer.adapter.weight, layer.adapter.bias)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_plain_torch(kind: str) -> None:
    assert_gradients_of_plain_torch(kind, SeriesAdapter(), rule, move_all)


@pytest.mark.parametrize(("stride", "groups"), [(1, 1), (2, 4)])
def test_memory(stride: int, groups: int) -> None:
    convolution = small_convolution(4, 8, stride=stride, groups=groups)
    kept, x, y = kept_bytes(Series(convolution), convolution)
    assert kept == 4 * y + y // 8
