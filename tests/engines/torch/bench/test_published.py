"""The paper's rivals in plain PyTorch: the same methods as ours, where the definitions agree."""

import copy

import pytest
import torch
from torch import Tensor, nn

from addapt._errors import OptionError
from addapt.bench.contender import PUBLISHED
from addapt.engines.torch.backbones import Backbone, load_backbone
from addapt.engines.torch.backbones.conv_bn import ConvBn
from addapt.engines.torch.bench.published import Masked, Parallel, Series, own_optimiser, publish
from addapt.engines.torch.methods import AdaptedModel, attach
from addapt.engines.torch.methods.convolutions import ConvolutionAdaptor
from addapt.engines.torch.methods.parallel_adapter import Parallel as OurParallel
from addapt.engines.torch.methods.piggyback import Mask, MaskedConvolutions
from addapt.engines.torch.methods.series_adapter import Series as OurSeries
from addapt.methods import build_method
from tests.engines.torch.backbones.test_backbone_of import MobileNet, build
from tests.engines.torch.gates.small_backbones import KINDS, plain_small_backbone
from tests.engines.torch.methods.plain_twins import plain_backbone

CLASSES = 3
ADAPTERS = ("series_adapter", "parallel_adapter")


def count(parameters: list[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters if parameter.requires_grad)


def conv_bns(module: nn.Module) -> dict[str, ConvBn]:
    return {name: each for name, each in module.named_modules() if isinstance(each, ConvBn)}


def ours(plain: Backbone, method: str) -> AdaptedModel:
    backbone = plain if method == "finetune" else plain.lean()
    return attach(backbone, build_method(method), CLASSES)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", PUBLISHED)
def test_as_many_parameters_are_trained_as_in_our_own_method(method: str, kind: str) -> None:
    """But for the scales of batch norms, and the norm inside a series adapter: ours has neither."""
    own = count(list(ours(plain_small_backbone(kind), method).domain_parameters()))
    network = publish(plain_small_backbone(kind), method, CLASSES)
    more = 0
    if method in ADAPTERS:
        layers = conv_bns(network).values()
        more += sum(layer.bn.num_features for layer in layers)
        more += sum(2 * s.norm.num_features for s in network.modules() if isinstance(s, Series))
        assert any(isinstance(layer.conv, Series | Parallel) for layer in layers)
    assert count(list(network.parameters())) == own + more


def scale_and_shift(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return what a batch norm with fixed statistics multiplies by, and what it adds then."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return scale, norm.bias - norm.running_mean * scale


def take_over(layer: nn.Module, published: ConvBn) -> None:
    """Give our layer the values that make it the published one: ours has its norm folded."""
    theirs: nn.Module = published.conv
    scale, shift = scale_and_shift(published.bn)
    if isinstance(theirs, Masked):
        assert isinstance(layer, Mask)
        layer.mask.copy_(theirs.mask)
    elif isinstance(theirs, Parallel):
        assert isinstance(layer, OurParallel)
        layer.adapter.weight.copy_(theirs.adapter.weight * scale[:, None, None, None])
    elif isinstance(theirs, Series):
        assert isinstance(layer, OurSeries) and layer.adapter.bias is not None
        inner_scale, inner_shift = scale_and_shift(theirs.norm)
        weight = scale[:, None] * theirs.adapter.weight.flatten(1)
        ratio = inner_scale / scale
        layer.adapter.weight.copy_((weight * ratio)[..., None, None])
        layer.adapter.bias.copy_(weight @ (inner_shift - ratio * shift))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", PUBLISHED)
@torch.no_grad()
def test_with_fixed_statistics_it_computes_what_our_own_method_does(method: str, kind: str) -> None:
    plain = plain_backbone(kind, torch.float64)
    model = ours(copy.deepcopy(plain), method).eval()
    network = publish(plain, method, CLASSES).double().eval()
    for module in network.modules():
        if isinstance(module, Series | Parallel):
            module.adapter.weight.normal_(0, 0.3)
        if isinstance(module, Series):
            assert module.norm.running_mean is not None
            module.norm.running_mean.uniform_(-0.3, 0.3)
            module.norm.bias.uniform_(-0.3, 0.3)
        if isinstance(module, Masked):
            module.mask.uniform_(0, 0.02)  # a fourth lies below the threshold
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    head = network[-1]
    assert isinstance(head, nn.Linear)
    model.head.load_state_dict(head.state_dict())
    before = model(x)
    if method != "finetune":
        adaptor = model.adaptor
        layers = adaptor.convolutions if isinstance(adaptor, MaskedConvolutions) else adaptor
        assert isinstance(layers, ConvolutionAdaptor)
        for name, published in conv_bns(plain).items():
            layer = layers.layer_of(f"{name}.conv")
            assert layer is not None
            take_over(layer, published)
        assert not torch.allclose(model(x), before, rtol=1e-2), "the adapters do something"
    torch.testing.assert_close(network(x), model(x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("px", [32, 37])
@torch.no_grad()
def test_a_parallel_adapter_fits_where_zeros_are_put_around_the_map_apart(px: int) -> None:
    plain = load_backbone("efficientnet_lite0", "random", plain=True)
    x = torch.randn(2, 3, px, px)
    features = plain(x)
    network = publish(plain, "parallel_adapter", CLASSES).eval()
    adapters = [module for module in network.modules() if isinstance(module, Parallel)]
    assert {adapter.adapter.stride for adapter in adapters} == {(1, 1), (2, 2)}
    assert not torch.allclose(network[:-1](x), features, rtol=1e-2)
    for adapter in adapters:
        adapter.adapter.weight.zero_()
    torch.testing.assert_close(network[:-1](x), features)


def test_a_mask_by_hand() -> None:
    conv = nn.Conv2d(2, 1, 1, bias=False).requires_grad_(False)
    conv.weight.copy_(torch.tensor([2.0, 3.0]).view(1, 2, 1, 1))
    masked = Masked(conv)
    x = torch.tensor([10.0, 100.0]).view(1, 2, 1, 1)
    assert masked(x).item() == 320
    with torch.no_grad():
        masked.mask[0, 1] = 0.005  # not above the threshold
    y = masked(x)
    assert y.item() == 20
    y.backward()
    assert masked.mask.grad is not None
    assert masked.mask.grad.flatten().tolist() == [20, 300], "straight through"
    assert conv.weight.grad is None


def test_optimisers_are_those_of_the_authors_and_have_all_that_is_trained() -> None:
    for method in PUBLISHED:
        network = publish(plain_small_backbone("basic"), method, CLASSES)
        optimiser = own_optimiser(network, method, 0.1)
        adam = method == "piggyback"
        assert isinstance(optimiser, torch.optim.Adam if adam else torch.optim.SGD)
        assert adam or optimiser.defaults["momentum"] == 0.9
        held = [p for group in optimiser.param_groups for p in group["params"]]
        assert count(held) == count(list(network.parameters())) > 0


def test_of_a_network_of_ones_own_only_fine_tuning_is_there() -> None:
    backbone = Backbone.of(build(MobileNet), plain=True)
    assert all(p.requires_grad for p in publish(backbone, "finetune", CLASSES).parameters())
    for method in (*ADAPTERS, "piggyback"):
        with pytest.raises(OptionError, match=f"'eager:{method}' changes layers that MobileNet"):
            publish(Backbone.of(build(MobileNet), plain=True), method, CLASSES)
