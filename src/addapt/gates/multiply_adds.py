"""How much a network computes, counted while it does so."""

from collections.abc import Callable
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from addapt.freezing import FrozenConv2d


class MultiplyAdds:
    """Counts the multiply-adds of all convolutions and linear layers that run inside it.

    What is skipped is not counted. Sums, activations and pooling are left out, as is usual.
    """

    def __init__(self) -> None:
        self.total = 0

    def __enter__(self) -> "MultiplyAdds":
        self._handle = register_module_forward_hook(self._count)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._handle.remove()

    def _count(self, layer: nn.Module, inputs: tuple[Any, ...], y: object) -> None:
        if not isinstance(y, Tensor):
            return
        if isinstance(layer, nn.Conv2d | FrozenConv2d):
            kernel = layer.kernel_size if isinstance(layer, nn.Conv2d) else layer.kernel
            groups = layer.groups if isinstance(layer, nn.Conv2d) else layer.geometry.groups
            self.total += y.numel() * kernel[0] * kernel[1] * (layer.in_channels // groups)
        elif isinstance(layer, nn.Linear):
            self.total += y.numel() * layer.in_features


@torch.no_grad()
def count_multiply_adds(forward: Callable[[Tensor], object], x: Tensor) -> int:
    """Return the multiply-adds that `forward` makes of `x`."""
    with MultiplyAdds() as count:
        forward(x)
    return count.total
