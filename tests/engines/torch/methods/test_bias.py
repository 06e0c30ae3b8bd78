"""Bias: every shift where it belongs, and nothing kept but bits."""

import torch
from torch import nn

from addapt.backbones import BackboneInfo, BlockInfo, InputInfo
from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.freezing import FrozenConv2d, trained_biases
from addapt.engines.torch.memory import KeptTensors
from addapt.engines.torch.methods import attach
from addapt.methods import Bias
from tests.engines.torch.gates.small_backbones import plain_small_backbone, small_backbone


def conv(weight: list[list[float]], bias: list[float]) -> nn.Conv2d:
    layer = nn.Conv2d(len(weight[0]), len(weight), 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight)[:, :, None, None])
        layer.bias.copy_(torch.tensor(bias))  # type: ignore[union-attr]
    return layer


def backbone_by_hand() -> Backbone:
    """Build relu(conv(image)), a 1 x 1 convolution as the only block, and the mean."""
    stem = nn.Sequential(conv([[1.0, 0.0, 0.0], [0.0, -1.0, 0.0]], [0.5, 0.25]), nn.ReLU())
    block = nn.Sequential(conv([[2.0, 1.0]], [-1.0]))
    tail = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    inputs = InputInfo(32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bicubic")
    info = BackboneInfo("by hand", inputs, 1, (BlockInfo(2, 1, 1, False),))
    return Backbone(stem, [block], tail, info).lean()


def test_features_and_gradients_by_hand() -> None:
    model = attach(backbone_by_hand(), Bias(), classes=2)
    stem, block = (t for name, t in model.domain_state().items() if "shifts" in name)
    x = torch.ones(1, 3, 2, 2)
    # 2 * (1 + 0.5) + relu(-1 + 0.25) - 1
    assert model.features(x).item() == 2.0
    with torch.no_grad():
        stem.copy_(torch.tensor([1.0, 1.0]))
        block.fill_(0.5)
    features = model.features(x)
    # 2 * (1 + 0.5 + 1) + relu(-1 + 0.25 + 1) - 1 + 0.5
    assert features.item() == 4.75
    features.sum().backward()  # type: ignore[no-untyped-call]
    assert stem.grad is not None and block.grad is not None
    assert stem.grad.tolist() == [2.0, 1.0]
    assert block.grad.tolist() == [1.0]


def test_all_biases_of_stem_blocks_and_tail_are_trained() -> None:
    for plain in (False, True):
        backbone = plain_small_backbone("inverted") if plain else small_backbone()
        model = attach(backbone, Bias(), classes=2)
        shifts = [t for name, t in model.domain_state().items() if "shifts" in name]
        biases = trained_biases(backbone)
        assert sum(t.numel() for t in shifts) == sum(t.numel() for t in biases.values())
        assert len(model.domain_state()) == len(shifts) + 2


def test_nothing_but_bits_and_features_is_kept() -> None:
    backbone = small_backbone()
    model = attach(backbone, Bias(), classes=2)
    bits = 0

    def count(layer: nn.Module, args: object, output: torch.Tensor) -> None:
        nonlocal bits
        assert isinstance(layer, FrozenConv2d)
        if layer.geometry.activation != "none":
            bits += -(-output.numel() // 8)

    hooks = [
        layer.register_forward_hook(count)
        for layer in backbone.modules()
        if isinstance(layer, FrozenConv2d)
    ]
    with KeptTensors(model) as kept:
        model(torch.randn(3, 3, 40, 40))
    for hook in hooks:
        hook.remove()
    assert kept.peak_bytes == bits + 4 * 3 * backbone.info.features
