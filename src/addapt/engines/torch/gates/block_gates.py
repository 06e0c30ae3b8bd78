"""The gates of all blocks, under one price of compute."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from addapt._errors import OptionError
from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.gates.block_gate import BlockGate
from addapt.engines.torch.gates.gates import Gates
from addapt.engines.torch.ops.regroup import join_images, split_images

# Given a block, its input, and the means of its adaptor's hidden features if it has one.
Watcher = Callable[["GatedBlock", Tensor, Tensor | None], None]


class BlockGates(nn.Module):
    """What all gates share: whether they decide, and at which price.

    Until they are measured all gates are open. What they know is in buffers.

    *Memory:* an index an image for each block; what is not computed keeps nothing.
    """

    price: Tensor
    rescues: Tensor

    def __init__(self, backbone: Backbone, gates: Gates, hidden: Sequence[int]) -> None:
        """Make the gates of blocks whose adaptors have so many hidden features, 0 without one.

        Raises:
            OptionError: no block has anything to leave out.
        """
        super().__init__()
        self.gates = gates
        self.active = True
        blocks = zip(backbone.info.blocks, backbone.blocks, hidden, strict=True)
        self.of_blocks = nn.ModuleList(
            BlockGate(info, block, gates, features) for info, block, features in blocks
        )
        if not any(gate.whole for gate in self):
            raise OptionError(
                f"No block of {backbone.info.name} has anything to leave out: take another gate "
                f"unit than {gates.unit!r}, such as 'resolution', or another backbone."
            )
        self.register_buffer("price", torch.zeros(()))
        self.register_buffer("rescues", torch.zeros((), dtype=torch.int64))
        self.watcher: Watcher | None = None
        self.all_open = False
        self._widths: list[Tensor | None] | None = None
        self._static: dict[int, tuple[tuple[int, ...], int]] = {}

    def __iter__(self) -> Iterator[BlockGate]:
        for gate in self.of_blocks:
            assert isinstance(gate, BlockGate)
            yield gate

    def __getitem__(self, place: int) -> BlockGate:
        gate = self.of_blocks[place]
        assert isinstance(gate, BlockGate)
        return gate

    def gated(self, place: int, block: nn.Module, biases: Mapping[str, Tensor]) -> "GatedBlock":
        """Return the backbone's block at `place`, with these biases in the place of its own."""
        return GatedBlock(self, place, block, biases)

    @property
    def rest(self) -> float:
        """The compute outside the blocks, as a share of the whole network's."""
        return 1 - sum(float(gate.costs[-1]) for gate in self)

    def static_width(self, place: int) -> int:
        """Return what the gate at `place` chooses for all images alike."""
        gate = self[place]
        # Kept, since it is asked for in every pass; another domain's tensors change versions.
        versions = gate.losses._version, gate.costs._version, self.price._version
        if (kept := self._static.get(place)) is None or kept[0] != versions:
            kept = self._static[place] = versions, gate.static_width(float(self.price))
        return kept[1]

    @contextmanager
    def watched(self, watcher: Watcher, *, all_open: bool) -> Iterator[None]:
        """Have `watcher` called before each block, while gates decide or with all of them open."""
        self.watcher, self.all_open = watcher, all_open
        try:
            with torch.no_grad():
                yield
        finally:
            self.watcher, self.all_open = None, False

    @contextmanager
    def noting_widths(self) -> Iterator[list[Tensor | None]]:
        """Give a list of the widths that one batch's images get, block by block; None: whole."""
        self._widths = [None] * len(self.of_blocks)
        try:
            yield self._widths
        finally:
            self._widths = None

    def note(self, place: int, chosen: Int[Tensor, " n"]) -> None:
        """Take note of the widths that a batch's images get, if anybody asks."""
        if self._widths is not None:
            self._widths[place] = chosen


@dataclass(frozen=True)
class GatedBlock:
    """One block of a backbone for one pass.

    `biases` replace the block's own, by name; those of four dimensions are tiles, an image each.
    """

    gates: BlockGates
    place: int
    block: nn.Module
    biases: Mapping[str, Tensor]

    def run(
        self, x: Float[Tensor, "n c h w"], hidden: Float[Tensor, "n k gh gw"] | None = None
    ) -> Float[Tensor, "n c2 h2 w2"]:
        """Compute the block of input `x`, each image at its width.

        Args:
            x: its input.
            hidden: features of its adaptor; None without one.
        """
        gates, gate = self.gates, self.gate
        features = None
        if hidden is not None and gate.dynamic:
            features = hidden.detach().mean((2, 3))  # the features are the adaptor's affair
        if gates.watcher is not None:
            gates.watcher(self, x, features)
        closing = gates.active and not gates.all_open and gate.whole > 0
        if not closing or x.is_meta:  # meta: no values to decide by
            return self.at(gate.whole, x)
        if features is None:
            width = gates.static_width(self.place)
            gates.note(self.place, torch.full((len(x),), width))
            return self.at(width, x)
        chosen = gate.choose(features, float(gates.price))
        gates.note(self.place, chosen)
        return self._by_width(x, chosen.tolist())

    @property
    def gate(self) -> BlockGate:
        """The gate of this block."""
        return self.gates[self.place]

    @property
    def tiles(self) -> Mapping[str, Tensor]:
        """Those of the biases that belong to one image each."""
        return {name: bias for name, bias in self.biases.items() if bias.dim() == 4}

    def at(self, width: int, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c2 h2 w2"]:
        """Compute all images at one width."""
        return self.gate.compute(width, self.block, x, self.biases)

    def with_tiles(self, tiles: Mapping[str, Tensor]) -> "GatedBlock":
        """Return the same for other images, whose tiles these are."""
        return replace(self, biases={**self.biases, **tiles}) if tiles else self

    def first_image(self) -> "GatedBlock":
        """Return the same for the first image alone."""
        return self.with_tiles({name: bias[:1] for name, bias in self.tiles.items()})

    def _by_width(self, x: Tensor, chosen: Sequence[int]) -> Tensor:
        """Compute groups of images, a width each."""
        widths = sorted(set(chosen))
        if len(widths) <= 1:
            return self.at(widths[0] if widths else self.gate.whole, x)
        groups = [
            torch.tensor([i for i, width in enumerate(chosen) if width == each], device=x.device)
            for each in widths
        ]
        parts = split_images(x, groups)
        tiles = {name: split_images(bias, groups) for name, bias in self.tiles.items()}
        computed = [
            self.with_tiles({name: split[i] for name, split in tiles.items()}).at(width, parts[i])
            for i, width in enumerate(widths)
        ]
        return join_images(computed, groups)
