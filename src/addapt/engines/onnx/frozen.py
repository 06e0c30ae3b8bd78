"""The frozen weights of a network, batch norms folded in, as one file beside its graphs."""

import math
from typing import NamedTuple

from addapt.backbones.networks import Network

FLOAT_BYTES = 4
ALIGNED_BYTES = 4096  # a page, so that each weight can be mapped by itself


class StoredWeight(NamedTuple):
    """An array of float32 in a file beside the graph."""

    file: str
    shape: tuple[int, ...]
    offset: int

    @property
    def length(self) -> int:
        """Its bytes."""
        return FLOAT_BYTES * math.prod(self.shape)


class FrozenWeights:
    """Where the folded weight and the bias of each layer lie in the file.

    Args:
        network: its layers say how large each is.
        file: the file's name.
    """

    def __init__(self, network: Network, file: str) -> None:
        self.file = file
        self.places: dict[str, StoredWeight] = {}
        self.file_bytes = 0
        for layer in network.layers():
            inputs, outputs = layer.in_channels // layer.groups, layer.out_channels
            self._place(f"{layer.name}.weight", (outputs, inputs, layer.kernel, layer.kernel))
            self._place(f"{layer.name}.bias", (outputs,))

    def _place(self, name: str, shape: tuple[int, ...]) -> None:
        self.places[name] = stored = StoredWeight(self.file, shape, self.file_bytes)
        self.file_bytes += math.ceil(stored.length / ALIGNED_BYTES) * ALIGNED_BYTES
