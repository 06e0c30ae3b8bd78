"""What tests of frozen networks compare: results, gradients, kept bytes."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from addapt.engines.torch.freezing.layers import FrozenAffine, FrozenConv2d


class Step(NamedTuple):
    """The results of one forward and backward pass."""

    y: Tensor
    input_gradient: Tensor
    bias_gradients: dict[str, Tensor]


def bias_partners(plain: nn.Module, frozen: nn.Module) -> dict[str, tuple[Tensor, Tensor]]:
    """Return, by its name, each frozen bias and the one in the plain network that it stands for.

    That is the shift of the batch norm that comes after the convolution among its siblings, or
    the convolution's own bias.
    """
    after: dict[str, nn.Module] = {}
    for path, parent in plain.named_modules():
        children = [
            (f"{path}.{name}" if path else name, child) for name, child in parent.named_children()
        ]
        for (name, child), (_, following) in zip(children, children[1:], strict=False):
            if isinstance(child, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
                after[name] = following
    partners: dict[str, tuple[Tensor, Tensor]] = {}
    for name, layer in frozen.named_modules():
        if isinstance(layer, (FrozenConv2d, FrozenAffine)) and layer.bias is not None:
            other = after.get(name, plain.get_submodule(name)).bias
            assert isinstance(other, Tensor)
            partners[name] = (other, layer.bias)
    return partners


def step(network: nn.Module, x: Tensor, biases: Mapping[str, Tensor], seed: int = 1) -> Step:
    """Run `network` forward, and backward with a random cotangent that `seed` decides."""
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    for bias in biases.values():
        bias.requires_grad_()
    y = network(x)
    cotangent = torch.randn(
        y.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    wanted = (x, *biases.values())
    gradients = torch.autograd.grad(y, wanted, cotangent.to(y.dtype))
    for bias in biases.values():
        bias.requires_grad_(False)
    return Step(y.detach(), gradients[0], dict(zip(biases, gradients[1:], strict=True)))


def relative_error(value: Tensor, reference: Tensor) -> float:
    """Return |value - reference| / |reference|."""
    assert value.shape == reference.shape
    return float((value - reference).norm() / reference.norm())


def kept_bytes(network: nn.Module, x: Tensor) -> int:
    """Return the bytes that autograd keeps of one pass, parameters and buffers not counted."""
    own = {t.untyped_storage().data_ptr() for t in (*network.parameters(), *network.buffers())}
    kept: dict[int, Tensor] = {}

    def save(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with saved_tensors_hooks(save, lambda tensor: tensor):
        y = network(x.detach().requires_grad_())
    assert y.requires_grad
    return sum(t.untyped_storage().nbytes() for key, t in kept.items() if key not in own)
