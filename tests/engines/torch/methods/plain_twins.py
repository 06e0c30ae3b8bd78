"""Methods that adapt convolutions, a second time: in plain torch, on a network left unfrozen."""

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.backbones.conv_bn import ConvBn
from addapt.engines.torch.freezing import FrozenConv2d
from addapt.engines.torch.methods import AdaptedModel, Method, attach
from addapt.engines.torch.methods.convolutions import ConvolutionAdaptor
from addapt.engines.torch.methods.piggyback import MaskedConvolutions
from addapt.engines.torch.ops.activation import Activation
from addapt.engines.torch.ops.conv import ConvGeometry
from tests.engines.torch.methods.test_lean_gradients import plain_backbone

# From a domain's layer, the convolution and the batch norm in its place, and their input, to what
# the activation after them gets.
Rule = Callable[[nn.Module, nn.Conv2d, nn.Module, Tensor], Tensor]
CLASSES = 3


class PlainTwin(nn.Module):
    """What one layer of a domain computes, by a rule."""

    def __init__(self, conv_bn: ConvBn, layer: nn.Module, rule: Rule) -> None:
        super().__init__()
        self.conv_bn, self.layer, self.rule = conv_bn, layer, rule

    def forward(self, x: Tensor) -> Tensor:
        y = self.rule(self.layer, self.conv_bn.conv, self.conv_bn.bn, x)
        activation = getattr(self.conv_bn, "activation", None)
        return y if activation is None else activation(y)


def plain_twin(plain: Backbone, model: AdaptedModel, rule: Rule) -> nn.Sequential:
    """Make, of a plain backbone, the network that `model` is, with the same trained tensors."""
    adaptor = model.adaptor
    if isinstance(adaptor, MaskedConvolutions):
        adaptor = adaptor.convolutions
    assert isinstance(adaptor, ConvolutionAdaptor)
    twin = copy.deepcopy(plain)
    for name, conv_bn in plain.named_modules():
        layer = adaptor.layer_of(f"{name}.conv")
        if isinstance(conv_bn, ConvBn) and layer is not None:
            parent, _, last = name.rpartition(".")
            twin.get_submodule(parent).add_module(last, PlainTwin(conv_bn, layer, rule))
    return nn.Sequential(twin, model.head)


def assert_gradients_of_plain_torch(
    name: str, method: Method, rule: Rule, start: Callable[[AdaptedModel], None]
) -> None:
    """Assert that logits and the gradients of all that is trained are those of the rule.

    Args:
        name: of the backbone.
        method: whose model is compared.
        rule: what it does to one convolution.
        start: gives the trained tensors values at which every gradient shows.
    """
    plain = plain_backbone(name, torch.float64)
    model = attach(plain.lean(), method, CLASSES)
    start(model)
    twin = plain_twin(plain, model, rule)
    assert sum(isinstance(layer, PlainTwin) for layer in twin.modules()) == sum(
        isinstance(layer, nn.Conv2d) for layer in plain.modules()
    )
    x, labels = random_batch(torch.float64)
    trained = {n: t for n, t in model.domain_state().items() if t.requires_grad}
    logits, expected = model(x), twin(x)
    torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-9)
    ours, theirs = (
        torch.autograd.grad(F.cross_entropy(z, labels), list(trained.values()))
        for z in (logits, expected)
    )
    for key, a, b in zip(trained, ours, theirs, strict=True):
        assert b.any(), key
        assert (a - b).norm() <= 1e-8 * b.norm(), key


def random_batch(dtype: torch.dtype = torch.float32, images: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(images, 3, 40, 33, generator=generator, dtype=torch.float64).to(dtype)
    return x, torch.arange(images) % CLASSES


def move_all(model: AdaptedModel, by: float = 0.02) -> None:
    """Move every trained tensor a little: layers that start at zero would hide others."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.domain_parameters():
            values = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(values.to(parameter.dtype) * by)


def small_convolution(
    c_in: int = 2,
    c_out: int = 3,
    kernel: int = 3,
    *,
    stride: int = 1,
    padding: int | None = None,
    groups: int = 1,
    activation: Activation = "relu",
    dtype: torch.dtype = torch.float32,
) -> FrozenConv2d:
    """Make a frozen convolution with random weights, always the same."""
    generator = torch.Generator().manual_seed(3)
    shape = (c_out, c_in // groups, kernel, kernel)
    weight = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
    bias = torch.randn(c_out, generator=generator, dtype=torch.float64).to(dtype)
    pad = kernel // 2 if padding is None else padding
    geometry = ConvGeometry((stride, stride), (pad, pad), (1, 1), groups, activation)
    return FrozenConv2d(weight, bias, geometry)
