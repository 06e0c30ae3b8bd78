"""LoRA: the formula by hand and in plain torch, merging, and what it keeps."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from addapt._errors import OptionError
from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.freezing import FrozenConv2d, pack_weights
from addapt.engines.torch.methods import attach, merged_backbone
from addapt.engines.torch.methods.lora import LowRank
from addapt.engines.torch.ops.conv import ConvGeometry
from addapt.methods import Head, LoRA
from tests.engines.torch.gates.small_backbones import KINDS
from tests.engines.torch.methods.plain_twins import (
    CLASSES,
    assert_gradients_of_plain_torch,
    kept_bytes,
    move_all,
    plain_backbone,
    random_batch,
    small_convolution,
)


def set_update(layer: LowRank, down: list[float], up: list[float]) -> None:
    with torch.no_grad():
        layer.down.copy_(torch.tensor(down).view(layer.down.shape))
        layer.up.copy_(torch.tensor(up).view(layer.up.shape))


def test_an_update_by_hand() -> None:
    """1 x 1, weight rows (1, 2) and (0, 1), input (3, 1): z = (5, 1) before the bias (0, -2)."""
    weight = torch.tensor([[1.0, 2.0], [0.0, 1.0]])[:, :, None, None]
    convolution = FrozenConv2d(weight, torch.tensor([0.0, -2.0]), ConvGeometry(activation="relu"))
    layer = LowRank(convolution, LoRA(rank=1, alpha=2))
    x = torch.tensor([3.0, 1.0])[None, :, None, None]
    assert layer(convolution, x).flatten().tolist() == [5, 0]
    set_update(layer, down=[1, -1], up=[-1, 3])  # A x = 2; B A x = (-2, 6), counted twice
    assert layer.update()[:, :, 0, 0].tolist() == [[-2, 2], [6, -6]]
    assert layer(convolution, x).flatten().tolist() == [1, 11]
    residual = torch.tensor([-2.0, 1.0])[None, :, None, None]
    assert layer(convolution, x, residual).flatten().tolist() == [0, 12]


def test_a_depthwise_update_by_hand() -> None:
    """Two channels, kernels 2 and 3 of one element, times 5 and 7, less 1."""
    weight = torch.tensor([2.0, 3.0])[:, None, None, None]
    geometry = ConvGeometry(groups=2, activation="relu6")
    convolution = FrozenConv2d(weight, torch.tensor([-1.0, -1.0]), geometry)
    layer = LowRank(convolution, LoRA(rank=4, alpha=4))
    assert (layer.down.numel(), layer.up.numel()) == (1, 2)  # more rank would be of no use
    x = torch.tensor([5.0, 7.0])[None, :, None, None]
    assert layer(convolution, x).flatten().tolist() == [6, 6]
    set_update(layer, down=[0.5], up=[-2, -4])
    assert layer(convolution, x).flatten().tolist() == [4, 6]
    residual = torch.tensor([1.0, -7.0])[None, :, None, None]
    assert layer(convolution, x, residual).flatten().tolist() == [5, 0]


def rule(layer: nn.Module, conv: nn.Conv2d, bn: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(layer, LowRank)
    rows = layer.up.flatten(1) @ layer.down.flatten(1) * (4 / 3)
    update = rows.view(conv.weight.shape)
    y: Tensor = bn(conv(x)) + F.conv2d(x, update, None, conv.stride, conv.padding, 1, conv.groups)
    return y


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_plain_torch(kind: str) -> None:
    assert_gradients_of_plain_torch(kind, LoRA(rank=3, alpha=4), rule, move_all)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_merged_equals_unmerged(kind: str, packed: bool) -> None:
    dtype = torch.float32 if packed else torch.float64
    backbone = plain_backbone(kind, dtype).lean()
    backbone.load_plain = lambda: plain_backbone(kind, dtype)
    model = attach(backbone, LoRA(), CLASSES).eval()
    move_all(model)
    x, _ = random_batch(dtype)
    if packed:
        pack_weights(model)
    expected, before = model(x), backbone(x)
    merged = merged_backbone(model)
    limit = 1e-3 if packed else 1e-9
    torch.testing.assert_close(model.head(merged(x)), expected, rtol=limit, atol=limit)
    assert not torch.allclose(merged(x), before, rtol=0.1)
    assert torch.equal(backbone(x), before)
    # Nobody may take it for the backbone that it was made of.
    assert merged.info == replace(
        backbone.info, weights=merged.info.weights, weights_sha256=""
    ) and merged.info.weights.endswith("LoRA merged")
    with pytest.raises(OptionError, match="batch norms folded"):
        merged.plain_copy()


def test_only_lora_is_merged(tiny_backbone: Backbone) -> None:
    with pytest.raises(OptionError, match="made by LoRA"):
        merged_backbone(attach(tiny_backbone.lean(), Head(), CLASSES))


@pytest.mark.parametrize("groups", [1, 4])
def test_memory(groups: int) -> None:
    convolution = small_convolution(4, 8, groups=groups)
    layer = LowRank(convolution, LoRA(rank=2))
    kept, x, y = kept_bytes(layer, convolution)
    maps = 4 * x + y // 8 + (4 * 2 * 2 * 60 if groups == 1 else 0)
    # Beside maps: B times its scale, or the updated weight.
    small = layer.up.nbytes if groups == 1 else convolution.plain_weight().nbytes
    assert maps < kept <= maps + 2 * small
