"""Bias, as nodes: what is added after each frozen convolution is trained."""

from addapt.backbones.networks import Network
from addapt.engines.onnx.adaptor import Adaptor, Values, shift_grids, shift_parameters
from addapt.engines.onnx.blocks import KeptBlock, run_block, run_block_back
from addapt.engines.onnx.ends import (
    run_stem,
    run_stem_back,
    run_stem_to_learn,
    run_tail,
    run_tail_back,
)
from addapt.engines.onnx.graph import Graph, Map
from addapt.engines.onnx.layers import mask
from addapt.engines.onnx.parameters import Parameter


class ShiftedBiases(Adaptor):
    """The network with the biases of all its layers shifted."""

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        tail = () if network.tail is None else (network.tail,)
        parts = [(network.stem,), *(block.all_layers for block in network.blocks), tail]
        self._shifts: dict[str, Parameter] = {}
        for place, layers in enumerate(parts):
            self._shifts |= shift_parameters(layers, f"adaptor.shifts.parts.{place}")

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """A shift for each layer."""
        return tuple(self._shifts.values())

    @property
    def shifts(self) -> dict[str, Parameter]:
        """All."""
        return self._shifts

    def forward(self, g: Graph, image: Map, values: Values, *, keep: bool) -> str:
        """Compute features with shifted biases."""
        network = self.network
        grids = shift_grids(g, self._shifts, values)
        self._kept: list[KeptBlock] = []
        stem_grids = grids.get(network.stem.name, ())
        if keep:
            x, self._stem = run_stem_to_learn(g, network, image, stem_grids)
        else:
            x = run_stem(g, network, image, stem_grids)
        for block in network.blocks:
            x, kept = run_block(g, block, x, grids, keep=keep)
            self._kept.append(kept)
        last = () if network.tail is None else grids.get(network.tail.name, ())
        features, self._map = run_tail(g, network, x, last)
        return features

    def backward(self, g: Graph, gradient: str, values: Values) -> Values:
        """Sum the gradient before each activation."""
        network = self.network
        before: dict[str, Map] = {}
        passes = None if network.tail is None else mask(g, self._map, network.tail.activation)
        at, before_tail = run_tail_back(g, network, self._map, passes, gradient)
        if network.tail is not None and before_tail is not None:
            before[network.tail.name] = before_tail
        for kept in reversed(self._kept):
            below, inside = run_block_back(g, kept, at)
            assert below is not None
            at = below
            before |= inside
        before[network.stem.name] = run_stem_back(g, self._stem, at)
        return {
            parameter.name: g.total(before[name].value, 0, 2, 3)
            for name, parameter in self._shifts.items()
        }
