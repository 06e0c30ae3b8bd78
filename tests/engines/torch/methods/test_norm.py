"""Norm tuning: the formula by hand and in plain torch, and what it keeps."""

import pytest
import torch
from torch import Tensor, nn

from addapt.engines.torch.freezing import FrozenConv2d
from addapt.engines.torch.methods.norm import ScaleShift
from addapt.engines.torch.ops.conv import ConvGeometry
from addapt.methods import Norm
from tests.engines.torch.gates.small_backbones import KINDS
from tests.engines.torch.methods.plain_twins import (
    assert_gradients_of_plain_torch,
    kept_bytes,
    move_all,
    small_convolution,
)


def test_scale_and_shift_by_hand() -> None:
    """Z = (2 * 3 + 1, 3 - 5) = (7, -2)."""
    weight = torch.tensor([2.0, 1.0])[:, None, None, None]
    convolution = FrozenConv2d(weight, torch.tensor([1.0, -5.0]), ConvGeometry(activation="relu6"))
    layer = ScaleShift(convolution)
    x = torch.full((1, 1, 1, 1), 3.0)
    assert layer(convolution, x).flatten().tolist() == [6, 0]
    with torch.no_grad():
        layer.scale.copy_(torch.tensor([0.5, -2.0]))
        layer.shift.copy_(torch.tensor([1.0, -1.0]))
    assert layer(convolution, x).flatten().tolist() == [4.5, 3]
    residual = torch.tensor([1.0, -4.0])[None, :, None, None]
    assert layer(convolution, x, residual).flatten().tolist() == [5.5, 0]


def rule(layer: nn.Module, conv: nn.Conv2d, bn: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(layer, ScaleShift)
    z: Tensor = bn(conv(x))
    return z * layer.scale[:, None, None] + layer.shift[:, None, None]


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_plain_torch(kind: str) -> None:
    assert_gradients_of_plain_torch(kind, Norm(), rule, move_all)


def test_memory() -> None:
    convolution = small_convolution(4, 8)
    kept, x, y = kept_bytes(ScaleShift(convolution), convolution)
    assert kept == 4 * y + y // 8


def test_memory_layout_stays() -> None:
    convolution = small_convolution(4, 8)
    x = torch.randn(2, 4, 6, 10).contiguous(memory_format=torch.channels_last)
    y = ScaleShift(convolution)(convolution, x)
    assert y.is_contiguous(memory_format=torch.channels_last)
