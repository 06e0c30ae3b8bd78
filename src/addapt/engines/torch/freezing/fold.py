"""Folding a frozen batch norm into the convolution before it, or into one affine map."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from addapt._errors import FreezeError


def refuse_unfoldable(module: nn.Module) -> None:
    """Raise a FreezeError unless the statistics of all batch norms are fixed."""
    for name, layer in module.named_modules():
        if isinstance(layer, nn.BatchNorm2d) and layer.track_running_stats and layer.training:
            raise FreezeError(
                f"The batch norm {name!r} is in training mode, where its result depends on the "
                "whole batch, so that it cannot be folded. Call .eval() on the network before "
                "freezing it."
            )


def scale_and_shift(bn: nn.BatchNorm2d) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"]]:
    """Return s and t, in float64, such that the batch norm computes x * s + t."""
    assert bn.running_mean is not None
    assert bn.running_var is not None
    scale = torch.rsqrt(bn.running_var.double() + bn.eps)
    if bn.weight is not None:
        scale = scale * bn.weight.detach().double()
    shift = -bn.running_mean.double() * scale
    if bn.bias is not None:
        shift = shift + bn.bias.detach().double()
    return scale, shift


def fold(
    conv: nn.Conv2d, bn: nn.BatchNorm2d | None, *, consume: bool
) -> tuple[Float[Tensor, "c_out c_in kh kw"], Float[Tensor, " c_out"] | None]:
    """Return weight and bias of the one convolution that does the work of both.

    Args:
        conv: not changed, unless `consume`.
        bn: after it, with fixed statistics.
        consume: fold within the memory of `conv`'s weight, which makes `conv` unusable.
    """
    weight = conv.weight.detach()
    bias = None if conv.bias is None else conv.bias.detach()
    if bn is None:
        return weight, bias
    scale, shift = scale_and_shift(bn)
    if bias is not None:
        shift = shift + bias.double() * scale
    factor = scale.to(weight.dtype)[:, None, None, None]
    return weight.mul_(factor) if consume else weight * factor, shift.to(weight.dtype)
