"""The gate of one block: how much of it an image needs."""

from collections.abc import Mapping
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call

from addapt.engines.torch.backbones import BlockInfo
from addapt.engines.torch.gates.gates import BLOCKS, Gates
from addapt.engines.torch.gates.narrow import NarrowBlock

WIDTHS = (0.25, 0.5, 0.75)  # of the inner channels; and all of them
SMALLEST_LOSS, LARGEST_LOSS = 1e-6, 10.0  # others are errors of a gate's prediction


class BlockGate(nn.Module):
    """Chooses among the widths of one block; the last of them is the whole block.

    A width's loss is how far the block's output is from the whole one's, the squared distance as
    a share of the squared length; its cost is a share of the whole network's multiply-adds. An
    image gets the width with the least `loss + price * cost`. In the static form, and beside blocks
    without an adaptor, the loss is the domain's mean, and so the same for all; else a linear layer
    predicts its logarithm for each image from the means of the adaptor's hidden features. It is
    fitted, not trained: see `fit_gate`.

    Args:
        info: of the block.
        block: the block itself.
        gates: what is asked for.
        hidden: hidden features of the block's adaptor; 0 without one.
    """

    costs: Tensor
    losses: Tensor
    order: Tensor | None
    weight: Tensor
    bias: Tensor

    def __init__(self, info: BlockInfo, block: nn.Module, gates: Gates, hidden: int) -> None:
        super().__init__()
        closed = (0.0,) if info.identity_shortcut else ()
        parts = WIDTHS if gates.unit != BLOCKS and info.inner_layers else ()
        self.widths = (*closed, *parts, 1.0)
        self.layers = info.inner_layers
        self.register_buffer("costs", torch.zeros(len(self.widths)))
        self.register_buffer("losses", torch.zeros(len(self.widths)))
        order = None
        if parts:
            inner = int(block.get_submodule(self.layers[-1]).in_channels)  # type: ignore[arg-type]
            order = torch.arange(inner, dtype=torch.int32)
        self.register_buffer("order", order)
        self.dynamic = gates.dynamic and hidden > 0 and self.whole > 0
        if self.dynamic:
            self.register_buffer("weight", torch.zeros(self.whole, hidden))
            self.register_buffer("bias", torch.zeros(self.whole))
        # Not part of the state: they are made of the backbone and the order.
        self._narrow: dict[int, tuple[tuple[object, ...], NarrowBlock]] = {}

    @property
    def whole(self) -> int:
        """The place of the whole block among the widths."""
        return len(self.widths) - 1

    def static_width(self, price: float) -> int:
        """Return the width of the least loss and price, the whole block if several are."""
        worth = (self.losses + price * self.costs).tolist()
        return min(range(len(worth)), key=lambda width: (worth[width], -width))

    def choose(self, features: Float[Tensor, "n k"], price: float) -> Int[Tensor, " n"]:
        """Return the width that each image gets, by the means of its hidden features."""
        # Less than the whole block is worth it where the loss is below what the cost saves.
        predicted = torch.addmm(self.bias, features, self.weight.t())
        losses = predicted.exp().clamp(SMALLEST_LOSS, LARGEST_LOSS)
        worth = losses - price * (self.costs[-1] - self.costs[:-1])
        least, place = worth.min(1)
        return torch.where(least < 0, place, self.whole)

    def compute(
        self,
        width: int,
        block: nn.Module,
        x: Float[Tensor, "n c h w"],
        biases: Mapping[str, Tensor],
    ) -> Float[Tensor, "n c2 h2 w2"]:
        """Compute the block at one width; closed it is its shortcut, the input itself."""
        if width == self.whole:
            y: Tensor = functional_call(block, dict(biases), (x,), tie_weights=False)
            return y
        if self.widths[width] == 0:
            return x
        return cast(Tensor, self._narrowed(width, block)(x, biases))

    @torch.no_grad()
    def measured_losses(
        self,
        block: nn.Module,
        x: Float[Tensor, "n c h w"],
        biases: Mapping[str, Tensor],
    ) -> Float[Tensor, "n widths-1"]:
        """Compute the losses of all widths but the whole block's, image by image."""
        y = self.compute(self.whole, block, x, biases)
        length = y.square().mean((1, 2, 3))
        return torch.stack(
            [
                (self.compute(width, block, x, biases) - y).square().mean((1, 2, 3))
                / length.clamp_min(torch.finfo(y.dtype).tiny)
                for width in range(self.whole)
            ],
            dim=1,
        )

    def _narrowed(self, width: int, block: nn.Module) -> NarrowBlock:
        assert self.order is not None
        # Another domain may have been loaded, or the model been moved.
        state = self.order._version, self.losses.device, self.losses.dtype
        before, narrow = self._narrow.get(width, ((), None))
        if narrow is None or before != state:
            count = round(self.widths[width] * len(self.order))
            # Sorted: where all stay, the weights stay as they are.
            channels = self.order[:count].long().sort().values
            narrow = NarrowBlock(block, self.layers, channels)
            self._narrow[width] = state, narrow
        return narrow

    def forget_widths(self) -> None:
        """Let go of the narrow blocks that were made, of which most may never be needed again."""
        self._narrow.clear()
