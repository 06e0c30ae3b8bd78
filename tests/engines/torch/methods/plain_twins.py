"""Methods that adapt convolutions, a second time: in plain torch, on a network left unfrozen."""

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from addapt.engines.torch.backbones import Backbone, load_backbone
from addapt.engines.torch.backbones.conv_bn import ConvBn
from addapt.engines.torch.freezing import FrozenConv2d
from addapt.engines.torch.memory import KeptTensors
from addapt.engines.torch.methods import AdaptedModel, attach
from addapt.engines.torch.methods.convolutions import ConvolutionAdaptor
from addapt.engines.torch.methods.piggyback import MaskedConvolutions
from addapt.engines.torch.ops.activation import Activation
from addapt.engines.torch.ops.conv import ConvGeometry
from addapt.methods import Method
from tests.engines.torch.gates.small_backbones import KINDS, plain_small_backbone

# From a domain's layer, the convolution and the batch norm in its place, and their input, to what
# the activation after them gets.
Rule = Callable[[nn.Module, nn.Conv2d, nn.Module, Tensor], Tensor]
CLASSES = 3


def plain_backbone(name: str, dtype: torch.dtype) -> Backbone:
    """Build a backbone, small if `name` is a kind, whose batch norms do something."""
    small = name in KINDS
    backbone = plain_small_backbone(name) if small else load_backbone(name, "random", plain=True)
    generator = torch.Generator().manual_seed(1)
    for layer in backbone.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None and layer.running_var is not None
            for tensor in (layer.weight.data, layer.running_var):
                tensor.uniform_(0.8, 1.2, generator=generator)
            for tensor in (layer.bias.data, layer.running_mean):
                tensor.uniform_(-0.2, 0.2, generator=generator)
    return backbone.to(dtype)


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
    kind: str, method: Method, rule: Rule, start: Callable[[AdaptedModel], object]
) -> None:
    """Assert that logits and the gradients of all that is trained are those of the rule.

    `start` gives the trained tensors values at which every gradient shows.
    """
    plain = plain_backbone(kind, torch.float64)
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


def move_all(model: AdaptedModel, by: float = 0.02) -> AdaptedModel:
    """Move every trained tensor a little: layers that start at zero would hide others."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.domain_parameters():
            values = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(values.to(parameter.dtype) * by)
    return model


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


def kept_bytes(layer: nn.Module, convolution: FrozenConv2d) -> tuple[int, int, int]:
    """Return what a layer keeps of a map of 4 channels, and the elements of input and output."""
    x = torch.randn(2, 4, 6, 10, requires_grad=True)
    with KeptTensors(alive=convolution.parameters()) as kept:
        # As in a network, where the input is the result of something that does not keep it.
        y = layer(convolution, x.clone())
    return kept.peak_bytes, x.numel(), y.numel()


def kept_channels(model: AdaptedModel) -> set[int]:
    """Return how many channels the maps have that a step keeps."""
    channels: set[int] = set()

    def pack(tensor: Tensor) -> Tensor:
        if tensor.dim() == 4 and tensor.shape[0] == 5:
            channels.add(tensor.shape[1])
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        assert model.features(torch.randn(5, 3, 32, 32)).requires_grad
    return channels
