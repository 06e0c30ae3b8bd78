"""Any convolutional network becomes a backbone: its blocks are found, described, and lean."""

import copy
import math
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, fx, nn

from addapt import DA3, Bias, Finetune, GateConfig, TinyTL, attach, pack_weights
from addapt._errors import OptionError
from addapt.backbones import BlockInfo, InputInfo
from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.freezing import freeze
from addapt.engines.torch.freezing.layers import FrozenAffine
from addapt.gates import BLOCKS
from tests.engines.torch.backbones.reference_networks import randomised
from tests.engines.torch.freezing.library_styles import ConvNormAct, ConvSame
from tests.engines.torch.freezing.networks import DenseNet, ShuffleNet, SqueezeExcite, Vgg, conv_bn

IMAGE = torch.zeros(1, 3, 32, 32)


class Inverted(nn.Module):
    """Expand, depthwise, squeeze and excite perhaps, project; as timm builds it."""

    def __init__(self, c_in: int, c: int, stride: int = 1, excite: bool = False) -> None:
        super().__init__()
        inner = 2 * c_in
        self.conv_pw = ConvNormAct(nn.Conv2d(c_in, inner, 1, bias=False), inner, nn.ReLU6())
        depthwise = ConvSame(inner, inner, 3, stride, groups=inner)
        if stride == 1:
            depthwise = nn.Conv2d(inner, inner, 3, 1, 1, groups=inner)  # type: ignore[assignment]
        self.conv_dw = ConvNormAct(depthwise, inner, nn.ReLU6())
        self.se = SqueezeExcite(inner, nn.ReLU(), nn.Hardsigmoid()) if excite else nn.Identity()
        self.conv_pwl = ConvNormAct(nn.Conv2d(inner, c, 1, bias=False), c)
        self.has_skip = stride == 1 and c_in == c

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x
        x = self.conv_pwl(self.se(self.conv_dw(self.conv_pw(x))))
        return x + shortcut if self.has_skip else x


class MobileNet(nn.Module):
    """Written as timm writes them, with its description of images."""

    def __init__(self) -> None:
        super().__init__()
        self.pretrained_cfg = {
            "input_size": (3, 32, 32),
            "mean": (0.5, 0.4, 0.3),
            "std": (0.2, 0.3, 0.4),
            "interpolation": "bicubic",
        }
        self.conv_stem = nn.Conv2d(3, 8, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.act = nn.ReLU6(inplace=True)
        self.blocks = nn.Sequential(
            nn.Sequential(Inverted(8, 8), Inverted(8, 12, 2)),
            nn.Sequential(Inverted(12, 12, excite=True), Inverted(12, 16)),
        )
        self.conv_head = conv_bn(16, 24, 1)
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_head(self.blocks(self.act(self.bn1(self.conv_stem(x)))))
        y: Tensor = self.classifier(self.global_pool(x).flatten(1))
        return y


class GatesAlone(nn.Module):
    """No block has a shortcut, and one has a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn(3, 4, 3)
        self.blocks = nn.Sequential(Inverted(4, 6, 2), Inverted(6, 8, excite=True))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.blocks(self.stem(x))
        return y.mean((2, 3))


class Residual(nn.Module):
    def __init__(self, c_in: int, c: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(conv_bn(c_in, c, 3, stride=stride), conv_bn(c, c, 3, act=False))
        self.down = None
        if c_in != c:
            self.down = conv_bn(c_in, c, 1, act=False, stride=stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        y += x if self.down is None else self.down(x)
        z: Tensor = self.relu(y)
        return z


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv_bn(3, 6, 7, stride=2), nn.MaxPool2d(3, 2, 1))
        self.layer1 = nn.Sequential(Residual(6, 6), Residual(6, 6))
        self.layer2 = nn.Sequential(Residual(6, 10, 2), Residual(10, 10))
        self.fc = nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc(self.layer2(self.layer1(self.stem(x))).mean((2, 3)))
        return y


def build(kind: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return randomised(kind())


def test_blocks_of_a_mobilenet_written_as_timm_writes_them() -> None:
    backbone = Backbone.of(build(MobileNet))
    inner = "conv_pw.conv", "conv_dw.conv"
    assert backbone.info.blocks == (
        BlockInfo(8, 8, 1, True, (*inner, "conv_pwl.conv")),
        BlockInfo(8, 12, 2, False, (*inner, "conv_pwl.conv")),
        BlockInfo(12, 12, 1, True, inner),
        BlockInfo(12, 16, 1, False, (*inner, "conv_pwl.conv")),
    )
    assert backbone.info.input == InputInfo(32, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4), "bicubic")
    assert (backbone.info.name, backbone.info.features) == ("MobileNet", 24)
    assert backbone.paths == ("blocks.0.0", "blocks.0.1", "blocks.1.0", "blocks.1.1")
    assert backbone.is_lean


def test_explain_says_what_the_blocks_are() -> None:
    text = Backbone.of(build(MobileNet), name="mine").explain()
    assert text.splitlines() == [
        "mine: images of 32 x 32 only, 24 features",
        "block  module      channels  stride  shortcut  inner layers",
        "0      blocks.0.0  8 > 8     1       as it is  conv_pw.conv, conv_dw.conv, conv_pwl.conv",
        "1      blocks.0.1  8 > 12    2       -         conv_pw.conv, conv_dw.conv, conv_pwl.conv",
        "2      blocks.1.0  12 > 12   1       as it is  conv_pw.conv, conv_dw.conv",
        "3      blocks.1.1  12 > 16   1       -         conv_pw.conv, conv_dw.conv, conv_pwl.conv",
    ]


class NormLikeABlock(nn.Sequential):
    """Blocks are features.1.N, and the stem's batch norm is features.0.1, as in torchvision."""

    def __init__(self) -> None:
        super().__init__()
        stem, stage = conv_bn(3, 4, 3), nn.Sequential(Residual(4, 6, 2), Residual(6, 6))
        self.features = nn.Sequential(stem, stage)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


@pytest.mark.parametrize(
    ("kind", "paths", "strides", "shortcuts"),
    [
        (ResNet, ["layer1.0", "layer1.1", "layer2.0", "layer2.1"], [1, 1, 2, 1], [1, 1, 0, 1]),
        (GatesAlone, ["blocks.0", "blocks.1"], [2, 1], [0, 0]),
        (ShuffleNet, ["stage.0", "stage.1", "stage.2"], [2, 1, 1], [0, 0, 0]),
        (DenseNet, ["block.0", "block.1"], [1, 1], [0, 0]),
        (Vgg, ["3", "6"], [2, 2], [0, 0]),
        (NormLikeABlock, ["features.1.0", "features.1.1"], [2, 1], [0, 1]),
    ],
)
def test_blocks_of_other_families(
    kind: Callable[[], nn.Module], paths: list[str], strides: list[int], shortcuts: list[int]
) -> None:
    network = build(kind)
    backbone = Backbone.of(network, IMAGE)
    assert list(backbone.paths) == paths
    assert [block.stride for block in backbone.info.blocks] == strides
    assert [block.identity_shortcut for block in backbone.info.blocks] == list(map(bool, shortcuts))
    assert_same_features(network, backbone)


def assert_same_features(network: nn.Module, backbone: Backbone) -> None:
    """Assert that features are the frozen network's, to the bit; its last linear layer follows."""
    x = torch.randn(2, 3, 32, 32)
    linears = [path for path, m in network.named_modules() if isinstance(m, nn.Linear)]
    headless = copy.deepcopy(network)
    if linears:
        headless.set_submodule(linears[-1], nn.Identity())
    assert torch.equal(backbone(x), freeze(headless, example=IMAGE)(x))


def test_a_map_at_the_end_is_pooled() -> None:
    network = build(lambda: nn.Sequential(conv_bn(3, 4, 3), Residual(4, 6, 2), Residual(6, 6)))
    backbone = Backbone.of(network, IMAGE)
    assert (backbone.paths, backbone.info.features) == (("1", "2"), 6)
    x = torch.randn(2, 3, 32, 32)
    assert torch.allclose(backbone(x), network(x).mean((2, 3)), atol=1e-5)
    assert not [m for m in backbone.modules() if isinstance(m, FrozenAffine)]


def test_features_are_those_of_the_frozen_network_to_the_bit() -> None:
    network = build(MobileNet)
    assert_same_features(network, Backbone.of(network))


def test_the_network_stays_as_it_is() -> None:
    network = build(MobileNet).requires_grad_(True)
    before = copy.deepcopy(network.state_dict())
    backbone = Backbone.of(network)
    plain = Backbone.of(network, plain=True)
    assert backbone.info.weights_sha256
    assert plain.lean().info == backbone.info
    for part in (backbone, plain):
        part.requires_grad_(False).train()
    assert all(p.requires_grad for p in network.parameters())
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())
    other = Backbone.of(build(MobileNet, seed=1))
    assert other.info.weights_sha256 != backbone.info.weights_sha256


@pytest.mark.parametrize("method", [DA3(), Bias(), TinyTL()], ids=lambda m: m.name)
def test_methods_learn_on_it(method: DA3 | Bias | TinyTL) -> None:
    backbone = Backbone.of(build(MobileNet))
    model = attach(backbone, method, 2)
    x, labels = torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 0, 1])
    x[labels == 1] *= 3
    assert torch.equal(model.eval().features(x), backbone(x))  # untrained, nothing is changed
    optimiser = torch.optim.AdamW(model.domain_parameters(), lr=3e-2)
    model.train()
    losses = []
    for _ in range(12):
        loss = nn.functional.cross_entropy(model(x), labels)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        assert all(p.grad is not None for p in model.head.parameters())
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] == pytest.approx(math.log(2))


def test_fine_tuning_takes_the_plain_one() -> None:
    network = build(MobileNet)
    with pytest.raises(OptionError, match=r"Backbone\.of\(\.\.\., plain=True\)"):
        attach(Backbone.of(network), Finetune(), 2)
    model = attach(Backbone.of(network, plain=True), Finetune(), 2).train()
    model(torch.randn(4, 3, 32, 32)).sum().backward()
    norms = [m for m in model.adaptor.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms and all(norm.training for norm in norms)
    assert all(parameter.grad is not None for parameter in model.adaptor.parameters())


@pytest.mark.parametrize("dynamic", [False, True])
def test_gates_of_blocks_leave_out_what_has_a_shortcut(dynamic: bool) -> None:
    model = attach(Backbone.of(build(MobileNet)), DA3(), 2, GateConfig(BLOCKS, dynamic, 0.8))
    x = torch.randn(4, 3, 32, 32)
    assert model.gates is not None
    model.gates.measure([x])
    assert [len(shares) for shares in model.gates.open_shares([x])] == [2, 1, 2, 1]
    model.train()(x).sum().backward()
    assert model.eval()(x).shape == (4, 2)


def test_packed_copied_and_read_from_a_file() -> None:
    backbone, x = Backbone.of(build(MobileNet)), torch.randn(2, 3, 32, 32)
    y = backbone(x)
    for twin in (copy.deepcopy(backbone), pickle.loads(pickle.dumps(backbone))):
        assert torch.equal(twin(x), y)
        assert not any(layer.training for layer in twin.train().modules())
    pack_weights(backbone)
    assert torch.allclose(backbone(x), y, atol=1e-5)


def test_codes_are_handed_on() -> None:
    network = build(
        lambda: nn.Sequential(conv_bn(3, 4, 3), Inverted(4, 4), nn.SiLU(), conv_bn(4, 6, 1))
    )
    coded = Backbone.of(network, IMAGE, blocks=["1"], codes="8bit")
    graphs = [part.graph for part in coded.modules() if isinstance(part, fx.GraphModule)]
    assert "smooth_8bit" in {node.name for graph in graphs for node in graph.nodes}


def test_blocks_by_name() -> None:
    network = build(MobileNet)
    backbone = Backbone.of(network, blocks=["blocks.0", "blocks.1"])
    assert backbone.paths == ("blocks.0", "blocks.1")
    assert [block.stride for block in backbone.info.blocks] == [2, 1]
    assert_same_features(network, backbone)


class Attention(nn.Module):
    """No map is left after the patches."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.linear = nn.Conv2d(3, 4, 8, 8), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        y: Tensor = self.linear(tokens) + tokens
        return y.mean(1)


class SizedStem(nn.Module):
    """Pads by size, and has no convolution."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pad(x, [x.shape[-1] % 3, 0] if x.shape[-1] > 2 else [1, 0])


class Twice(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x * 2


class Unpadded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.blocks = (
            conv_bn(3, 4, 3),
            nn.ModuleList([Residual(4, 4), nn.Conv2d(4, 6, 3)]),
        )
        self.last = Residual(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(self.blocks[1](self.blocks[0](self.stem(x))))
        return y


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (Attention, {}, "Attention cannot be cut into blocks: there is no place|all of it is one"),
        (lambda: freeze(build(MobileNet), example=IMAGE), {}, "frozen already: give Backbone.of"),
        (lambda: nn.Sequential(freeze(Vgg().eval()), nn.ReLU()), {}, "frozen already"),
        (
            lambda: freeze(SizedStem().eval(), example=IMAGE[..., :8, :8]),
            {},
            "was given 3 x 32 x 32",
        ),
        (Twice, {}, "Twice gives several results"),
        (Unpadded, {}, "around 'blocks.1': it makes a map of 30 x 30 of one of 32 x 32"),
        (MobileNet, {"blocks": ["blocks.7"]}, "around 'blocks.7': no such module.* blocks.0.0"),
        (MobileNet, {"blocks": ["blocks.0.0.conv_pw"]}, "cannot be cut around"),
        (MobileNet, {"example": torch.zeros(1, 1, 32, 32)}, "three colours, a square"),
        (MobileNet, {"example": torch.zeros(1, 3, 32, 40)}, "the shape .1, 3, 32, 40.: give"),
        (MobileNet, {"example": torch.zeros(3, 32, 32)}, "three colours, a square"),
        (MobileNet, {"blocks": "conv_stem"}, "all of it is one block|cannot be cut"),
    ],
)
def test_what_cannot_be_cut(
    kind: Callable[[], nn.Module], options: dict[str, object], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        Backbone.of(build(kind), **({"example": IMAGE} | options))  # type: ignore[arg-type]
