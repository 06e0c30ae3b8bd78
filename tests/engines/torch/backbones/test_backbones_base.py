"""What every backbone is: frozen, and known by the content of its weights."""

import pytest
import torch
from torch import nn

from addapt.engines.torch.backbones import (
    Backbone,
    BackboneInfo,
    BlockInfo,
    InputInfo,
    weights_sha256,
)

INFO = BackboneInfo(
    name="tiny",
    input=InputInfo(8, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bilinear"),
    features=4,
    blocks=(BlockInfo(4, 4, 1, False),),
)


def tiny_backbone(seed: int = 0) -> Backbone:
    torch.manual_seed(seed)
    stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    tail = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Backbone(stem, [nn.Conv2d(4, 4, 1)], tail, INFO)


def test_a_backbone_is_frozen() -> None:
    backbone = tiny_backbone()
    assert not any(p.requires_grad for p in backbone.parameters())
    assert not backbone(torch.randn(2, 3, 8, 8)).requires_grad


def test_statistics_do_not_move_whatever_mode_the_module_around_is_put_in() -> None:
    network = nn.Sequential(tiny_backbone(), nn.Linear(4, 2))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.train()
    assert network[1].training
    assert not any(module.training for module in network[0].modules())
    network(torch.randn(2, 3, 8, 8) + 5)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_blocks_and_their_description_must_be_equally_many() -> None:
    backbone = tiny_backbone()
    with pytest.raises(ValueError, match="2 blocks, but info describes 1"):
        Backbone(backbone.stem, [nn.Identity(), nn.Identity()], backbone.tail, INFO)


def test_hash_ignores_memory_format_and_batch_counters() -> None:
    backbone = tiny_backbone()
    before = weights_sha256(backbone)
    backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    backbone.get_buffer("stem.1.num_batches_tracked").fill_(7)
    assert weights_sha256(backbone) == before


def test_hash_reads_one_channel_kernels_in_any_memory_format() -> None:
    # a (c, 1, 1, 1) kernel is "contiguous" with strides that a byte view refuses
    conv = nn.Conv2d(1, 4, 1, bias=False)
    before = weights_sha256(conv)
    conv.weight = nn.Parameter(conv.weight.detach().as_strided((4, 1, 1, 1), (1, 4, 4, 4)))
    assert weights_sha256(conv) == before


@pytest.mark.parametrize("name", ["stem.0.weight", "stem.1.running_var", "blocks.0.bias"])
def test_hash_sees_every_tensor(name: str) -> None:
    backbone = tiny_backbone()
    before = weights_sha256(backbone)
    backbone.state_dict()[name].view(-1)[-1] += 1e-3
    assert weights_sha256(backbone) != before


def test_hash_sees_names() -> None:
    conv = nn.Conv2d(1, 1, 1)
    a, b = nn.ModuleDict({"a": conv}), nn.ModuleDict({"b": conv})
    assert weights_sha256(a) != weights_sha256(b)
