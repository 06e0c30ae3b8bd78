"""What every backbone is: frozen, and known by the content of its weights."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from addapt._errors import OptionError
from addapt.backbones import BackboneInfo, BlockInfo, InputInfo
from addapt.engines.torch.backbones import Backbone, weights_sha256

BLOCK = BlockInfo(4, 6, 2, False)
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


def test_statistics_do_not_move_whatever_mode_the_module_around_is_put_in() -> None:
    network = nn.Sequential(tiny_backbone(), nn.Linear(4, 2))
    assert not any(p.requires_grad for p in network[0].parameters())
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.train()
    assert network[1].training
    assert not any(module.training for module in network[0].modules())
    network(torch.randn(2, 3, 8, 8) + 5)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ((), "has 1 blocks, but its description has 0"),
        ((replace(BLOCK, in_channels=3),), "takes 4 channels, but .* `in_channels=3`"),
        ((replace(BLOCK, out_channels=4),), "gives 6 channels, but .* `out_channels=4`"),
        (
            (replace(BLOCK, stride=1),),
            r"a map of 4 x 4 of one of 7 x 7.* `stride=1`, which makes 7",
        ),
        ((replace(BLOCK, identity_shortcut=True),), "give `identity_shortcut=False`"),
        ((replace(BLOCK, inner_layers=("0", "3")),), "no convolution '3'"),
        ((replace(BLOCK, inner_layers=("0", "1")),), "no convolution '1'"),
        ((replace(BLOCK, inner_layers=("2", "0")),), "in the order 0, 2"),
        ((replace(BLOCK, inner_layers=("0", "other")),), "in the order 0, but"),
    ],
)
def test_a_wrong_description_is_refused(blocks: tuple[BlockInfo, ...], message: str) -> None:
    info = replace(INFO, input=replace(INFO.input, px=9), blocks=blocks, features=6)
    block = nn.Sequential(nn.Conv2d(4, 5, 1), nn.ReLU(), nn.Conv2d(5, 6, 3, 2, 1))
    block.other = nn.Conv2d(5, 6, 1)
    block.forward = lambda x: block[2](block[1](block[0](x)))  # type: ignore[method-assign]
    plain = tiny_backbone()
    for device in ("cpu", "meta"):
        with pytest.raises(OptionError, match=message):
            Backbone(plain.stem.to(device), [block.to(device)], plain.tail, info)
    info = replace(info, blocks=(replace(BLOCK, inner_layers=("0", "2")),))
    Backbone(plain.stem, [block], plain.tail, info)
    with pytest.raises(OptionError, match="gives 6 features, but .* `features=7`"):
        Backbone(plain.stem, [block], plain.tail, replace(info, features=7))


def test_inner_layers_that_do_not_follow_on_each_other_are_refused() -> None:
    both = nn.ModuleDict({"a": nn.Conv2d(4, 5, 1), "b": nn.Conv2d(4, 4, 1)})
    both.forward = lambda x: both["a"](x)[:, :4] + both["b"](x)
    info = replace(INFO, blocks=(BlockInfo(4, 4, 1, False, ("a", "b")),))
    plain = tiny_backbone()
    with pytest.raises(OptionError, match="'a' gives 5 channels and 'b' takes 4"):
        Backbone(plain.stem, [both], plain.tail, info)


@pytest.mark.parametrize("part", ["stem", "block", "tail"])
def test_parts_that_cannot_run_are_refused(part: str) -> None:
    plain = tiny_backbone()
    parts = {"stem": plain.stem, "block": plain.blocks[0], "tail": plain.tail}
    for wrong in (nn.Conv2d(9, 4, 1), nn.Flatten(0)):
        stem, block, tail = (parts | {part: wrong}).values()
        with pytest.raises(
            OptionError, match=rf"(?i){part} .*of tiny (cannot take|gives)|{part} of"
        ):
            Backbone(stem, [block], tail, INFO)


def test_lean_or_plain_the_hash_is_that_of_the_plain_weights() -> None:
    plain = tiny_backbone()
    expected = weights_sha256(plain)
    assert plain.lean().info.weights_sha256 == expected
    assert plain.lean().lean().info.weights_sha256 == expected
    assert plain.lean(consume=True).info.weights_sha256 == expected
    known = tiny_backbone()
    known.info = replace(INFO, weights_sha256="known")
    assert known.lean().info.weights_sha256 == "known"
    assert known.to("meta").lean().info.weights_sha256 == "known"
    assert tiny_backbone().to("meta").lean().info.weights_sha256 == ""


def test_hash_ignores_memory_format_and_batch_counters() -> None:
    backbone = tiny_backbone()
    before = weights_sha256(backbone)
    backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    backbone.get_buffer("stem.1.num_batches_tracked").fill_(7)
    assert weights_sha256(backbone) == before
    # a (c, 1, 1, 1) kernel is "contiguous" with strides that a byte view refuses
    conv = nn.Conv2d(1, 4, 1, bias=False)
    before = weights_sha256(conv)
    conv.weight = nn.Parameter(conv.weight.detach().as_strided((4, 1, 1, 1), (1, 4, 4, 4)))
    assert weights_sha256(conv) == before


def test_hash_sees_every_tensor_and_its_name() -> None:
    backbone = tiny_backbone()
    seen = {weights_sha256(backbone)}
    for name in ("stem.0.weight", "stem.1.running_var", "blocks.0.bias"):
        backbone.state_dict()[name].view(-1)[-1] += 1e-3
        seen.add(weights_sha256(backbone))
    assert len(seen) == 4
    conv = nn.Conv2d(1, 1, 1)
    a, b = nn.ModuleDict({"a": conv}), nn.ModuleDict({"b": conv})
    assert weights_sha256(a) != weights_sha256(b)
