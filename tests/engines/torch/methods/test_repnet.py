"""Rep-Net: where its modules stand, the exchange both ways, what needs no backward."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from addapt.engines.torch.backbones import Backbone, load_backbone
from addapt.engines.torch.methods import attach
from addapt.engines.torch.methods.lite_residual import LiteResidual
from addapt.engines.torch.methods.repnet import SideNetwork, places
from addapt.methods import RepNet
from tests.engines.torch.methods.plain_twins import kept_channels
from tests.engines.torch.methods.test_da3 import randomised


def side_network(backbone: Backbone, method: RepNet) -> SideNetwork:
    adaptor = attach(backbone, method, classes=2).adaptor
    assert isinstance(adaptor, SideNetwork)
    return adaptor


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet50", [-1, 0, 3, 7, 13, 15]),
        ("resnet18", [-1, 2, 4, 6, 7]),
        ("mobilenet_v2", [1, 3, 6, 10, 13, 16]),
        ("efficientnet_lite0", [1, 3, 5, 8, 11, 15]),
    ],
)
def test_modules_stand_where_those_of_the_source_do(name: str, expected: list[int]) -> None:
    found = places(load_backbone(name, "random", plain=True).info)
    assert found[-RepNet().modules :] == expected


def modules_of(network: SideNetwork) -> list[LiteResidual]:
    found = list(network.side_modules)
    assert all(isinstance(module, LiteResidual) for module in found)
    return found  # type: ignore[return-value]


def compute(module: LiteResidual, p: Tensor) -> Tensor:
    hidden = F.relu(module.norm_in(module.conv_in(p)))
    out: Tensor = module.norm_out(module.conv_out(hidden))
    return out


def spread(small: Tensor, factor: int) -> Tensor:
    return small.repeat_interleave(factor, 2).repeat_interleave(factor, 3)


def test_features_are_the_formula_of_the_docstring(tiny_backbone: Backbone) -> None:
    assert side_network(tiny_backbone, RepNet(modules=2)).places == [0, 2]
    network = side_network(tiny_backbone.double(), RepNet(modules=99))
    assert network.places == [-1, 0, 2]
    first, second, third = modules_of(network)
    randomised(network)
    image = torch.randn(2, 3, 48, 32, dtype=torch.float64)
    x = tiny_backbone.stem(image)  # 24 x 16
    x = x + spread(compute(first, F.avg_pool2d(image, 4)), 2)
    # Blocks 0 and 2 have a stride of 2: half the side of their input is all of their output's.
    x = tiny_backbone.blocks[0](x) + compute(second, F.avg_pool2d(x, 2))
    x = tiny_backbone.blocks[1](x)
    x = tiny_backbone.blocks[2](x) + compute(third, F.avg_pool2d(x, 2))
    expected = tiny_backbone.tail(x)
    torch.testing.assert_close(network(tiny_backbone, image), expected, rtol=1e-10, atol=1e-12)
    lean = tiny_backbone.lean()
    torch.testing.assert_close(network(lean, image), expected, rtol=1e-10, atol=1e-12)


def test_what_stands_before_the_first_module_needs_no_backward(tiny_backbone: Backbone) -> None:
    model = attach(tiny_backbone.lean(), RepNet(modules=1), classes=2)
    # The image, hidden maps, and what is added to the last block.
    assert kept_channels(model) == {3, 8, 12}


def test_biases_are_trained_only_when_asked(tiny_backbone: Backbone) -> None:
    def count(method: RepNet) -> int:
        state = attach(tiny_backbone, method, 2).domain_state()
        return sum("shifts" in name for name in state)

    assert (count(RepNet()), count(RepNet(biases=True))) == (0, 3)
