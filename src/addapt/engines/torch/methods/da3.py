"""DA3: dynamic additive attention adaption, reconstructed."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from addapt.backbones import BlockInfo
from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.backbones.conv_bn import ConvBn
from addapt.engines.torch.freezing import FrozenConv2d
from addapt.engines.torch.gates import BlockGates, GatedBlock
from addapt.engines.torch.methods.base import Adaptor
from addapt.engines.torch.methods.bias import Shifts
from addapt.engines.torch.methods.head import few_at_once
from addapt.engines.torch.ops.conv import may_be_overwritten
from addapt.engines.torch.ops.grid import add_tiled, pool_beside
from addapt.gates import GateConfig
from addapt.methods import DA3


class AdditiveAdaptor(Adaptor):
    """An adaptor for each block from `first_block` on, and these blocks' shifts if trained.

    Gates of blocks are all open until they are measured.
    """

    def __init__(self, backbone: Backbone, method: DA3, gates: GateConfig | None = None) -> None:
        super().__init__()
        first_block = method.for_backbone(len(backbone.blocks)).first_block
        assert first_block is not None
        self.first_block = first_block
        blocks = backbone.info.blocks[first_block:], backbone.blocks[first_block:]
        attentions = [
            AdditiveAttention(
                info, method, _inner_layer(block, info) if method.inner and place > 0 else None
            )
            for place, (info, block) in enumerate(zip(*blocks, strict=True))
        ]
        self.attentions = nn.ModuleList(attentions)
        self.shifts = nn.ModuleList(
            Shifts(block, trained=method.biases and place > 0)
            for place, block in enumerate(backbone.blocks[first_block:])
        )
        self.gates = None
        if gates is not None:
            hidden = [0] * first_block + [attention.hidden for attention in attentions]
            self.gates = BlockGates(backbone, gates, hidden)

    def forward(self, backbone: Backbone, x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n f"]:
        """Compute adapted features; blocks before the first adaptor need no backward."""
        learning = self.training and torch.is_grad_enabled()
        first = partial(self._unadapted, backbone)
        x = few_at_once(first, x) if learning else first(x)
        adapted = zip(self.attentions, self.shifts, strict=True)
        for place, (attention, shifts) in enumerate(adapted, self.first_block):
            assert isinstance(shifts, Shifts)
            block, biases = backbone.blocks[place], shifts.applied_to(backbone.blocks[place])
            x = attention(x, partial(self._block, place, block, biases))
        features: Tensor = backbone.tail(x)
        return features

    def _block(
        self,
        place: int,
        block: nn.Module,
        biases: Mapping[str, Tensor],
        x: Float[Tensor, "n c h w"],
        hidden: Float[Tensor, "n k gh gw"],
        tiles: Mapping[str, Tensor],
    ) -> Float[Tensor, "n c2 h2 w2"]:
        """Compute a block with its biases and, by name, the tiles of its convolutions."""
        own = {**biases, **tiles}
        if self.gates is not None:
            return GatedBlock(self.gates, place, block, own).run(x, hidden)
        y: Tensor = functional_call(block, own, (x,), tie_weights=False)
        return y

    def _unadapted(
        self, backbone: Backbone, x: Float[Tensor, "n 3 h w"]
    ) -> Float[Tensor, "n c h2 w2"]:
        """Compute what stands before the first adaptor."""
        x = backbone.stem(x)
        for place, block in enumerate(backbone.blocks[: self.first_block]):
            x = block(x) if self.gates is None else GatedBlock(self.gates, place, block, {}).run(x)
        return x


class InnerLayer(NamedTuple):
    """The first convolution of a block that no other block sees."""

    tiles: str  # name of its tiles in the block
    channels: int


class AdditiveAttention(nn.Module):
    """The adaptor of one block: attention on a pooled map, added to the block's output.

    It also shifts what an inner layer of the block computes, if there is one.
    """

    def __init__(
        self, block: BlockInfo, method: DA3, inner_layer: InnerLayer | None = None
    ) -> None:
        super().__init__()
        self.grid, self.stride, self.shortcut = method.grid, block.stride, method.shortcut
        c_in, c_out = block.in_channels, block.out_channels
        channels = math.ceil(min(c_in / method.reduction, method.width) / method.groups)
        self.hidden = hidden = channels * method.groups
        self.squeeze = nn.Conv2d(c_in, hidden, 1)
        self.spatial: nn.Conv2d | None = None
        if method.spatial:
            near = method.kernel // 2
            self.spatial = nn.Conv2d(
                hidden, hidden, method.kernel, padding=near, groups=method.groups
            )
        self.channel = nn.Linear(hidden, hidden) if method.channel else None
        self.out = nn.Conv2d(hidden, c_out, 1)
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)
        self.inner: nn.Conv2d | None = None
        if inner_layer is not None:
            self.tiles = inner_layer.tiles
            self.inner = nn.Conv2d(hidden, inner_layer.channels, 1, bias=False)  # it has its own
            nn.init.zeros_(self.inner.weight)

    def forward(
        self,
        x: Float[Tensor, "n c_in h w"],
        block: Callable[[Tensor, Tensor, Mapping[str, Tensor]], Float[Tensor, "n c_out h2 w2"]],
    ) -> Float[Tensor, "n c_out h2 w2"]:
        """Add the attention computed from the block's input to its output.

        Args:
            x: the block's input.
            block: computes its output, which nobody but the caller and autograd may hold, of `x`,
                the hidden features, which a gated one looks at first, and tiles by name.
        """
        factor = grid_factor(x.shape[2:], self.stride, self.grid)
        x, pooled = pool_beside(x, factor * self.stride)
        q = self.squeeze(pooled)
        hidden = self._hidden_features(q)
        attention = self.out(hidden)
        tiles = {} if self.inner is None else {self.tiles: self.inner(hidden)}
        y = block(x, hidden, tiles)
        if attention.shape[2:] != tuple(math.ceil(side / factor) for side in y.shape[2:]):
            # a block with a border of its own
            return y + F.interpolate(attention, y.shape[2:])
        return add_tiled(y, attention, factor, in_place=may_be_overwritten(y, x))

    def _hidden_features(self, q: Float[Tensor, "n k gh gw"]) -> Float[Tensor, "n k gh gw"]:
        terms = []
        if self.spatial is not None:
            terms.append(F.relu(self.spatial(q)))
        if self.channel is not None:
            of_means: Tensor = F.relu(self.channel(q.mean((2, 3))))
            terms.append(of_means[:, :, None, None].expand_as(q))
        if self.shortcut:
            terms.append(q)
        return reduce(torch.add, terms)


def _inner_layer(block: nn.Module, info: BlockInfo) -> InnerLayer | None:
    """Find a block's first inner layer; None where it is not known or takes no tiles."""
    if not info.inner_layers:
        return None
    name = info.inner_layers[0]
    conv = block.get_submodule(name)
    if isinstance(conv, FrozenConv2d):
        return InnerLayer(f"{name}.tiles", conv.channels)
    parent = name.rpartition(".")[0]
    if isinstance(conv, nn.Conv2d) and isinstance(block.get_submodule(parent), ConvBn):
        return InnerLayer(f"{parent}.tiles", conv.out_channels)  # a plain backbone's
    return None


def grid_factor(size: Sequence[int], stride: int, grid: int) -> int:
    """Return the side of the squares that make of a block's output a grid of at most grid x grid.

    `size` is its input's; its output's is ceil(size / stride).
    """
    return math.ceil(math.ceil(max(size) / stride) / grid)
