"""How much a network computes, counted while it does so."""

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from addapt.engines.torch.freezing import FrozenConv2d


@torch.no_grad()
def count_multiply_adds(forward: Callable[[Tensor], object], x: Tensor) -> int:
    """Return the multiply-adds of all convolutions and linear layers that `forward` makes of `x`.

    What is skipped is not counted, nor what other threads compute meanwhile. Sums, activations and
    pooling are left out, as is usual.
    """
    total = 0
    thread = threading.get_ident()

    def count(layer: nn.Module, _: tuple[Any, ...], y: Tensor) -> None:
        nonlocal total
        if threading.get_ident() != thread:  # the hook is every thread's
            return
        if isinstance(layer, nn.Conv2d | FrozenConv2d):
            kernel = layer.kernel_size if isinstance(layer, nn.Conv2d) else layer.kernel
            groups = layer.groups if isinstance(layer, nn.Conv2d) else layer.geometry.groups
            total += y.numel() * kernel[0] * kernel[1] * (layer.in_channels // groups)
        elif isinstance(layer, nn.Linear):
            total += y.numel() * layer.in_features

    handle = register_module_forward_hook(count)
    try:
        forward(x)
    finally:
        handle.remove()
    return total
