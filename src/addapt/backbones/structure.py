"""What a network is made of, as plain data: every engine builds from this one description."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from addapt.backbones.info import BackboneInfo, BlockInfo


@dataclass(frozen=True)
class ConvLayer:
    """A convolution without bias, its batch norm, its activation.

    `padding` is "half", kernel // 2 zeros on each side, or "same", as TensorFlow has it: the
    output's side is ceil(input side / stride), and of an odd number of zeros one more stands at
    the end. `activation` is "none", "relu" or "relu6".
    """

    name: str
    in_channels: int
    out_channels: int
    kernel: int
    stride: int
    groups: int
    padding: str
    activation: str
    bn_eps: float

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """The shape of the convolution's weight."""
        return self.out_channels, self.in_channels // self.groups, self.kernel, self.kernel

    @property
    def weight_size(self) -> int:
        """The number of elements of the convolution's weight."""
        return math.prod(self.weight_shape)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each of its tensors, by name."""
        norm = ("weight", "bias", "running_mean", "running_var")
        return {
            f"{self.name}.conv.weight": self.weight_shape,
            **{f"{self.name}.bn.{tensor}": (self.out_channels,) for tensor in norm},
        }


@dataclass(frozen=True)
class Block:
    """Layers one after the other, and what is added to their output.

    That is the block's input through `shortcut` if there is one, as it is if
    `info.identity_shortcut`, or nothing. `activation` follows the sum: "relu" or "none".
    """

    layers: tuple[ConvLayer, ...]
    shortcut: ConvLayer | None
    activation: str
    info: BlockInfo

    @property
    def all_layers(self) -> tuple[ConvLayer, ...]:
        """The layers, and the shortcut's last if there is one."""
        return self.layers if self.shortcut is None else (*self.layers, self.shortcut)


@dataclass(frozen=True)
class Network:
    """A frozen network: the stem, blocks, the tail, and then the mean over the map.

    `stem_pool` says whether a maximum over 3 x 3 with stride 2 and padding 1 follows the stem.
    `info` has nothing of weights.
    """

    info: BackboneInfo
    stem: ConvLayer
    stem_pool: bool
    blocks: tuple[Block, ...]
    tail: ConvLayer | None

    def layers(self) -> Iterator[ConvLayer]:
        """Yield all layers in the order of computing; a shortcut comes after its block's others."""
        yield self.stem
        for block in self.blocks:
            yield from block.all_layers
        if self.tail is not None:
            yield self.tail

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each tensor, by name."""
        return {name: shape for layer in self.layers() for name, shape in layer.shapes().items()}
