"""The gates of all blocks, under one price of compute."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from addapt._errors import OptionError
from addapt.backbones import Backbone
from addapt.gates.block_gate import SMALLEST_LOSS, BlockGate
from addapt.gates.gates import Gates
from addapt.gates.inject import with_loss
from addapt.ops.regroup import join_images, split_images

# Given a block's place, the block, its biases and its input.
Watcher = Callable[[int, nn.Module, Mapping[str, Tensor], Tensor], None]


class BlockGates(nn.Module):
    """What all gates share: whether they decide, at which price, and whose turn it is to learn.

    Until they are measured all gates are open. What they learn is in parameters and buffers.

    *Memory:* in training the means of the hidden features, and an index an image; what is not
    computed keeps nothing.
    """

    price: Tensor
    turn: Tensor
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
        self.register_buffer("turn", torch.zeros((), dtype=torch.int64))
        self.register_buffer("rescues", torch.zeros((), dtype=torch.int64))
        self._learning = [place for place, gate in enumerate(self) if gate.predict is not None]
        self.watcher: Watcher | None = None
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
    def may_close(self) -> bool:
        """Whether gates decide just now."""
        return self.active and self.watcher is None

    def is_taught(self, place: int) -> bool:
        """Say whether it is the turn of this gate to learn."""
        if not self.may_close or place not in self._learning:
            return False
        return place == self._learning[int(self.turn) % len(self._learning)]

    def end_pass(self) -> None:
        """Let the next pass in training teach another gate."""
        self.turn += 1

    def static_width(self, place: int) -> int:
        """Return what the gate at `place` chooses for all images alike."""
        gate = self[place]
        # Kept, since it is asked for in every pass; another domain's tensors change versions.
        versions = gate.losses._version, gate.costs._version, self.price._version
        if (kept := self._static.get(place)) is None or kept[0] != versions:
            kept = self._static[place] = versions, gate.static_width(float(self.price))
        return kept[1]

    @contextmanager
    def watched(self, watcher: Watcher) -> Iterator[None]:
        """Have `watcher` called before each block, with all gates open."""
        self.watcher = watcher
        try:
            with torch.no_grad():
                yield
        finally:
            self.watcher = None

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
    """One block of a backbone for one pass."""

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
        gates, gate = self.gates, self.gates[self.place]
        if gates.watcher is not None:
            gates.watcher(self.place, self.block, self.biases, x)
        if not gates.may_close or gate.whole == 0 or x.is_meta:  # meta: no values to decide by
            return self._at(gate.whole, x)
        if gate.predict is None or hidden is None:
            width = gates.static_width(self.place)
            gates.note(self.place, torch.full((len(x),), width))
            return self._at(width, x)
        chosen = gate.choose(hidden, gates.price)
        gates.note(self.place, chosen)
        return self._by_width(x, chosen.tolist())

    def taught(
        self,
        x: Float[Tensor, "n c h w"],
        hidden: Float[Tensor, "n k gh gw"],
        attention: Float[Tensor, "n c2 gh gw"],
    ) -> Float[Tensor, "n c2 gh gw"]:
        """In training, let one gate a pass learn what its widths lose on these images.

        That is measured by forward passes alone. The gate's gradient comes with the backward
        of what is returned, `attention`.
        """
        if x.is_meta or not torch.is_grad_enabled() or not self.gates.is_taught(self.place):
            return attention
        gate = self.gates[self.place]
        losses = gate.measured_losses(self.block, x.detach(), self.biases)
        wanted = losses.clamp_min(SMALLEST_LOSS).log()
        # A sum, so that micro-batches add up to the batch; Adam does not mind its scale.
        return with_loss(attention, (gate.log_losses(hidden) - wanted).square().sum())

    def _at(self, width: int, x: Tensor) -> Tensor:
        return self.gates[self.place].compute(width, self.block, x, self.biases)

    def _by_width(self, x: Tensor, chosen: Sequence[int]) -> Tensor:
        """Compute groups of images, a width each."""
        widths = sorted(set(chosen))
        if len(widths) <= 1:
            return self._at(widths[0] if widths else self.gates[self.place].whole, x)
        groups = [
            torch.tensor([i for i, width in enumerate(chosen) if width == each], device=x.device)
            for each in widths
        ]
        parts = split_images(x, groups)
        computed = [self._at(width, part) for width, part in zip(widths, parts, strict=True)]
        return join_images(computed, groups)
