"""What holds for every method that adapts convolution by convolution."""

import copy

import pytest
import torch
from torch import Tensor, nn

from addapt._errors import OptionError
from addapt.backbones import BackboneInfo, BlockInfo, InputInfo
from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.freezing import pack_weights, unpack_weights
from addapt.engines.torch.memory import accumulate_gradients
from addapt.engines.torch.methods import attach
from addapt.engines.torch.methods.convolutions import ConvolutionAdaptor, convolutions
from addapt.methods import Method, build_method
from tests.engines.torch.gates.small_backbones import small_backbone
from tests.engines.torch.methods.plain_twins import CLASSES, move_all, random_batch

NAMES = ("lora", "norm", "parallel_adapter", "piggyback", "series_adapter")


@pytest.fixture(params=NAMES)
def method(request: pytest.FixtureRequest) -> Method:
    return build_method(request.param)


@pytest.fixture
def lean(tiny_backbone: Backbone) -> Backbone:
    return tiny_backbone.lean()


class AddsANumber(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv(x) + x.size(1))


def test_a_summand_that_is_no_map(method: Method) -> None:
    stem, block = nn.Conv2d(3, 4, 1), AddsANumber()
    tail = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    described = BlockInfo(4, 4, 1, False)
    info = BackboneInfo("own", InputInfo(8, (0.5,) * 3, (0.5,) * 3, "bicubic"), 4, (described,))
    plain = Backbone(stem, [block], tail, info)
    x = torch.randn(2, 3, 8, 8)
    model = attach(plain.lean(), method, CLASSES).eval()
    torch.testing.assert_close(model.features(x), plain(x))


def test_packed_weights_do_the_same(method: Method) -> None:
    backbone = small_backbone("bottleneck")
    model = move_all(attach(backbone, method, CLASSES), by=0.002).train()
    x, labels = random_batch(images=2)
    gradients = []
    expected = model(x)
    for _ in range(2):  # plain, then packed
        model.zero_grad()
        accumulate_gradients(model, x, labels)
        gradients.append([p.grad for p in model.domain_parameters()])
        pack_weights(model)
        with torch.no_grad():
            backbone(x)  # now they are packed, whatever the method does
    assert all(layer.weight is None for _, layer in convolutions(backbone))
    torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-4)
    for a, b in zip(*gradients, strict=True):
        assert a is not None and b is not None
        assert (a - b).norm() <= 1e-3 * a.norm()
    unpack_weights(model)
    torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-4)


def test_a_copy_has_a_backbone_of_its_own_and_changes_its_type(
    lean: Backbone, method: Method
) -> None:
    model = move_all(attach(lean, method, CLASSES))
    x, _ = random_batch()
    expected, twin = model(x), copy.deepcopy(model)
    assert torch.equal(twin(x), expected)
    torch.testing.assert_close(twin.double()(x.double()).float(), expected, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        for parameter in twin.backbone.parameters():
            parameter.zero_()
    assert torch.equal(model(x), expected)
    assert not torch.allclose(twin(x.double()).float(), expected)


@pytest.mark.parametrize("name", ["parallel_adapter", "series_adapter"])
def test_weights_of_adapters_have_a_lower_rate(lean: Backbone, name: str) -> None:
    method = build_method(name)
    adaptor = attach(lean, method, CLASSES).adaptor
    slow = {id(p) for p in adaptor.pretrained_parameters()}
    assert slow == {id(p) for p in adaptor.parameters() if p.dim() == 4}
    assert len(slow) == 4
    assert 0 < method.recipe.backbone_lr < method.recipe.lr


def test_a_plain_backbone_is_refused(tiny_backbone: Backbone, method: Method) -> None:
    with pytest.raises(OptionError, match=r"tiny is a plain one.*backbone\.lean\(\)"):
        attach(tiny_backbone, method, CLASSES)


def test_the_walk_changes_nothing_by_itself(lean: Backbone) -> None:
    adaptor = ConvolutionAdaptor(lean, lambda convolution: None)
    x, _ = random_batch()
    assert torch.equal(adaptor(lean, x), lean(x))
    with pytest.raises(RuntimeError) as raised:
        adaptor(lean, x[:, :2])
    assert "While executing" not in str(raised.value)
