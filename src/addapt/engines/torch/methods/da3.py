"""DA3: dynamic additive attention adaption, reconstructed.

Source: Yang, Rakin, Fan, "DA3: Dynamic Additive Attention Adaption for
Memory-Efficient On-Device Multi-Domain Learning", arXiv 2012.01362. The authors
published no code; layer order, pooling, insertion points and rates are our own
design, chosen by the trials in LOG.md.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from typing_extensions import Self

from addapt._errors import OptionError
from addapt.engines.torch.backbones import Backbone, BlockInfo
from addapt.engines.torch.backbones.conv_bn import ConvBn
from addapt.engines.torch.freezing import FrozenConv2d
from addapt.engines.torch.gates import BlockGates, Gates
from addapt.engines.torch.methods.base import AdaptedModel, Adaptor, Method, Recipe
from addapt.engines.torch.methods.few_at_once import few_at_once
from addapt.engines.torch.methods.hyperparameters import check_counts, check_kernel
from addapt.engines.torch.methods.shifts import Shifts
from addapt.engines.torch.ops.conv import may_be_overwritten
from addapt.engines.torch.ops.grid import add_tiled, pool_beside


@dataclass(frozen=True)
class DA3(Method):
    """Additive spatial and channel attention beside every block, computed on a small grid.

    For block `f` with input `x`:

        y = f(x) + spread(W (S(q) + C(mean(q)) + q)),    q = V average_pool(x)

    `q` has one element for each square of y, at most grid x grid, and `spread` adds one to all
    of its square. `V` is a 1 x 1 convolution to c_in / reduction channels (at most `width`), `S`
    a grouped k x k convolution of these and ReLU, `C` a linear layer and ReLU, `W` a 1 x 1
    convolution to c_out. The same hidden features, through an output layer of their own, shift the
    inner channels of `f`, before the activation of its first convolution: where a square is one
    element, `q` alone makes of that a low-rank update of its weight. Output layers start at zero:
    before training the features are the backbone's own, bit for bit. There are no batch
    statistics: micro-batches give the gradient of the whole batch.

    Args:
        reduction: the hidden width is the input's channels divided by this,
        width: but not more than this, so that an adaptor grows with the channels, not their square.
        kernel: side of the convolution in `S`, odd.
        groups: groups of that convolution.
        grid: largest side of the pooled map.
        inner: also shift the inner channels of the blocks behind the first adaptor, where the
            backbone says which these are (`BlockInfo.inner_layers`).
        shortcut: `q` is among the hidden features itself, past both nonlinearities.
        biases: also train what is added after each convolution of the blocks behind the first
            adaptor; beside that one the block needs no backward, nor does anything before it.
        first_block: adaptors stand beside this block and all later ones; None means after the
            first third of the blocks, which are general and, their maps being large, slow.

    *Memory:* being added, the adaptor keeps for backward only its own pooled map and its hidden
    activations, about 4 n (c_in + 3 hidden) grid^2 bytes a block, never the block's output; a
    lean backbone's block keeps 1 bit for each element of a ReLU.
    """

    name: ClassVar[str] = "da3"
    summary: ClassVar[str] = "additive spatial and channel attention beside frozen blocks"
    why_kept: ClassVar[str] = (
        "Being added, it keeps what it computes on small pooled maps, never a block's output."
    )
    recipe: ClassVar[Recipe] = Recipe(lr=1e-3, epochs=10, micro_batch=8, label_smoothing=0.1)

    reduction: int = 4
    width: int = 24
    kernel: int = 5
    groups: int = 4
    grid: int = 8
    inner: bool = True
    shortcut: bool = True
    biases: bool = True
    first_block: int | None = None

    def __post_init__(self) -> None:
        """Check the hyper-parameters.

        Raises:
            OptionError: one makes no sense.
        """
        check_counts(
            "DA3", reduction=self.reduction, width=self.width, groups=self.groups, grid=self.grid
        )
        check_kernel("DA3", self.kernel)

    def for_backbone(self, backbone: Backbone) -> Self:
        """Spell out `first_block`: a file must not depend on how it is chosen today."""
        if self.first_block is not None:
            return self
        return replace(self, first_block=len(backbone.blocks) // 3)

    def attach(self, backbone: Backbone, classes: int, gates: Gates | None = None) -> AdaptedModel:
        """Make a model with one adaptor beside each block from `first_block` on.

        Args:
            backbone: shared, never changed.
            classes: width of the logits.
            gates: of blocks or channels; all are open until `measure_gates`.
        """
        blocks = len(backbone.blocks)
        first_block = self.for_backbone(backbone).first_block
        assert first_block is not None
        if not 0 <= first_block < blocks:
            raise OptionError(
                f"DA3's first_block is {first_block}, but {backbone.info.name} "
                f"has blocks 0 to {blocks - 1}."
            )
        adaptor = AdditiveAdaptor(backbone, self, first_block, gates)
        return AdaptedModel(backbone, adaptor, classes)


class AdditiveAdaptor(Adaptor):
    """The adaptors of all blocks, and the blocks' own shifts where they are trained."""

    def __init__(
        self, backbone: Backbone, method: DA3, first_block: int, gates: Gates | None = None
    ) -> None:
        super().__init__()
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
            return self.gates.gated(place, block, own).run(x, hidden)
        y: Tensor = functional_call(block, own, (x,), tie_weights=False)
        return y

    def _unadapted(
        self, backbone: Backbone, x: Float[Tensor, "n 3 h w"]
    ) -> Float[Tensor, "n c h2 w2"]:
        """Compute what stands before the first adaptor."""
        x = backbone.stem(x)
        for place, block in enumerate(backbone.blocks[: self.first_block]):
            x = block(x) if self.gates is None else self.gates.gated(place, block, {}).run(x)
        return x


class InnerLayer(NamedTuple):
    """The first convolution of a block that no other block sees."""

    tiles: str  # name of its tiles in the block
    channels: int


class AdditiveAttention(nn.Module):
    """The adaptor of one block: attention on a pooled map, added to the block's output."""

    def __init__(
        self, block: BlockInfo, method: DA3, inner_layer: InnerLayer | None = None
    ) -> None:
        """Make the adaptor; it also shifts what an inner layer of the block computes."""
        super().__init__()
        self.grid, self.stride, self.shortcut = method.grid, block.stride, method.shortcut
        c_in, c_out = block.in_channels, block.out_channels
        channels = math.ceil(min(c_in / method.reduction, method.width) / method.groups)
        self.hidden = hidden = channels * method.groups
        self.squeeze = nn.Conv2d(c_in, hidden, 1)
        self.spatial = nn.Conv2d(
            hidden, hidden, method.kernel, padding=method.kernel // 2, groups=method.groups
        )
        self.channel = nn.Linear(hidden, hidden)
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
        spatial = F.relu(self.spatial(q))
        channel = F.relu(self.channel(q.mean((2, 3))))
        hidden = spatial + channel[:, :, None, None]
        if self.shortcut:
            hidden = hidden + q
        attention = self.out(hidden)
        tiles = {} if self.inner is None else {self.tiles: self.inner(hidden)}
        y = block(x, hidden, tiles)
        if attention.shape[2:] != _grid_size(y.shape[2:], factor):  # it has a border of its own
            return y + F.interpolate(attention, y.shape[2:])
        return add_tiled(y, attention, factor, in_place=may_be_overwritten(y, x))


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

    Args:
        size: height and width of the block's input; its output's are ceil(size / stride).
        stride: the block's.
        grid: largest side.
    """
    return math.ceil(math.ceil(max(size) / stride) / grid)


def _grid_size(size: Sequence[int], factor: int) -> tuple[int, int]:
    return math.ceil(size[0] / factor), math.ceil(size[1] / factor)
