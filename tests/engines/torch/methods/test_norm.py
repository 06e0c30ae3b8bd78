"""Norm tuning: the formula by hand and in plain torch, and what it keeps."""

import pytest
import torch
from torch import Tensor, nn

from addapt.engines.torch.backbones import load_backbone
from addapt.engines.torch.freezing import FrozenConv2d
from addapt.engines.torch.memory import KeptTensors
from addapt.engines.torch.methods import Norm
from addapt.engines.torch.methods.norm import ScaleShift
from addapt.engines.torch.ops.conv import ConvGeometry
from tests.engines.torch.methods.plain_twins import (
    assert_gradients_of_plain_torch,
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


@pytest.mark.parametrize("name", ["resnet18", "resnet26", "mobilenet_v2"])
def test_gradients_are_those_of_plain_torch(name: str) -> None:
    assert_gradients_of_plain_torch(name, Norm(), rule, move_all)


def test_two_numbers_a_channel() -> None:
    backbone = load_backbone("resnet18", "random")
    channels = sum(c.channels for c in backbone.modules() if isinstance(c, FrozenConv2d))
    model = Norm().attach(backbone, classes=2)
    assert sum(p.numel() for p in model.adaptor.parameters()) == 2 * channels


def test_memory() -> None:
    convolution = small_convolution(4, 8)
    layer = ScaleShift(convolution)
    x = torch.randn(2, 4, 6, 10, requires_grad=True)
    with KeptTensors(alive=convolution.parameters()) as kept:
        y = layer(convolution, x)
    assert kept.peak_bytes == 4 * y.numel() + y.numel() // 8


def test_memory_layout_stays() -> None:
    convolution = small_convolution(4, 8)
    x = torch.randn(2, 4, 6, 10).contiguous(memory_format=torch.channels_last)
    y = ScaleShift(convolution)(convolution, x)
    assert y.is_contiguous(memory_format=torch.channels_last)
