"""The gates of all blocks, under one price of compute."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from addapt._errors import OptionError
from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.gates.block_gate import BlockGate
from addapt.engines.torch.ops.regroup import join_images, split_images
from addapt.gates import GateConfig


@dataclass(frozen=True)
class Seen:
    """What a watcher is told before a block computes a batch.

    `features` are the means of its adaptor's hidden features where its gate decides by these;
    `opened` says for which images it is open.
    """

    block: "GatedBlock"
    x: Tensor
    features: Tensor | None
    opened: Sequence[bool]


Watcher = Callable[[Seen], None]


class BlockGates(nn.Module):
    """What all gates share: whether they decide, and at which price.

    Until they are measured all gates are open. What they know is in buffers.

    *Memory:* an index an image for each block; what is not computed keeps nothing.
    """

    price: Tensor
    rescues: Tensor

    def __init__(self, backbone: Backbone, config: GateConfig, hidden: Sequence[int]) -> None:
        """Make the gates of blocks whose adaptors have so many hidden features, 0 without one.

        Raises:
            OptionError: no block has a shortcut to be left with.
        """
        super().__init__()
        self.config = config
        self.active = True
        self.of_blocks = nn.ModuleList(
            BlockGate(info, config, features)
            for info, features in zip(backbone.info.blocks, hidden, strict=True)
        )
        if not any(gate.can_close for gate in self):
            raise OptionError(
                f"No block of {backbone.info.name} has an identity shortcut, so none can be left "
                "out: take the gate unit 'resolution', or another backbone."
            )
        self.register_buffer("price", torch.zeros(()))
        self.register_buffer("rescues", torch.zeros((), dtype=torch.int64))
        self.watcher: Watcher | None = None
        self._static: dict[int, tuple[tuple[int, ...], bool]] = {}

    def __iter__(self) -> Iterator[BlockGate]:
        for gate in self.of_blocks:
            assert isinstance(gate, BlockGate)
            yield gate

    def __getitem__(self, place: int) -> BlockGate:
        gate = self.of_blocks[place]
        assert isinstance(gate, BlockGate)
        return gate

    @property
    def rest(self) -> float:
        """The compute outside the blocks, as a share of the whole network's."""
        return 1 - sum(float(gate.cost) for gate in self)

    @contextmanager
    def watched(self, watcher: Watcher | None = None, *, active: bool) -> Iterator[None]:
        """Have `watcher` told of each block, while gates decide or with all of them open."""
        before = self.watcher, self.active
        self.watcher, self.active = watcher, active
        try:
            with torch.no_grad():
                yield
        finally:
            self.watcher, self.active = before

    def decide(self, place: int, images: int, features: Tensor | None) -> Sequence[bool]:
        """Say for which of a batch's images the block at `place` is open."""
        if not self.active:
            return [True] * images
        if features is None:
            return [self._opens(place)] * images
        opened: list[bool] = self[place].opens_for(features, float(self.price)).tolist()
        return opened

    def _opens(self, place: int) -> bool:
        """Say whether a block is open for all images alike, without a look at values each time."""
        gate = self[place]
        known = gate.losses, gate.costs, self.price
        if any(tensor.is_inference() for tensor in known):  # they have no versions
            return gate.opens(float(self.price))
        # Another domain's tensors change versions.
        versions = tuple(tensor._version for tensor in known)
        if (kept := self._static.get(place)) is None or kept[0] != versions:
            kept = self._static[place] = versions, gate.opens(float(self.price))
        return kept[1]


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
        """Compute the block of those images of its input for which it is open.

        `hidden` are the features of its adaptor, if it has one.
        """
        if x.is_meta:  # no values to decide by
            return self.compute(x)
        features = None
        if hidden is not None and self.gate.dynamic:
            features = hidden.detach().mean((2, 3))  # the features are the adaptor's affair
        opened = self.gates.decide(self.place, len(x), features)
        if self.gates.watcher is not None:
            self.gates.watcher(Seen(self, x, features, opened))
        if all(opened):
            return self.compute(x)
        if not any(opened):
            return x
        groups = [
            torch.tensor([i for i, each in enumerate(opened) if each is open_], device=x.device)
            for open_ in (False, True)
        ]
        closed, computed = split_images(x, groups)
        biases = {
            name: split_images(bias, groups)[1] if bias.dim() == 4 else bias
            for name, bias in self.biases.items()
        }
        return join_images([closed, replace(self, biases=biases).compute(computed)], groups)

    @property
    def gate(self) -> BlockGate:
        """The gate of this block."""
        return self.gates[self.place]

    def compute(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c2 h2 w2"]:
        """Compute the block of all images."""
        y: Tensor = functional_call(self.block, dict(self.biases), (x,), tie_weights=False)
        return y

    @torch.no_grad()
    def closing_losses(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Compute what closing the block would lose, image by image; it can be closed."""
        y = self.compute(x)
        length = y.square().mean((1, 2, 3)).clamp_min(torch.finfo(y.dtype).tiny)
        return (x - y).square().mean((1, 2, 3)) / length
