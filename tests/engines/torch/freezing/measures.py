"""What tests of frozen networks compare: results, gradients, kept bytes."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.autograd.graph import saved_tensors_hooks

from addapt.engines.torch.freezing.layers import FrozenAffine, FrozenConv2d
from addapt.engines.torch.ops.activation import relu, relu6, relu6_kept_bytes, relu_kept_bytes
from addapt.engines.torch.ops.affine import channel_affine_kept_bytes
from addapt.engines.torch.ops.conv import frozen_conv2d_kept_bytes
from addapt.engines.torch.ops.pool import max_pool2d, max_pool2d_kept_bytes


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


def step(network: nn.Module, x: Tensor, biases: dict[str, Tensor], seed: int = 1) -> Step:
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


class _Formulas(fx.Interpreter):
    kept_bytes = 0

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        layer = self.fetch_attr(str(n.target)) if n.op == "call_module" else None
        if isinstance(layer, FrozenConv2d):
            self.kept_bytes += frozen_conv2d_kept_bytes(result.numel(), layer.geometry.activation)
        elif isinstance(layer, FrozenAffine):
            self.kept_bytes += channel_affine_kept_bytes(result.numel(), layer.activation)
        elif n.target is relu:
            self.kept_bytes += relu_kept_bytes(result.numel())
        elif n.target is relu6:
            self.kept_bytes += relu6_kept_bytes(result.numel())
        elif n.target is max_pool2d:
            kernel: Any = n.args[1]
            self.kept_bytes += max_pool2d_kept_bytes(result.numel(), kernel)
        return result


def formula_bytes(frozen: fx.GraphModule, x: Tensor) -> int:
    """Return the sum of what the operations of a frozen network say that they keep."""
    formulas = _Formulas(frozen)
    formulas.run(x)
    return formulas.kept_bytes
