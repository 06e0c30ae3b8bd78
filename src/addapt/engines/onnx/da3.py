"""DA3, as nodes: additive attention beside blocks, computed on a small grid."""

from typing import NamedTuple

from addapt.backbones.networks import Block, Network
from addapt.engines.onnx.adaptor import Adaptor, Values, shift_grids, shift_parameters
from addapt.engines.onnx.attention import Attention
from addapt.engines.onnx.blocks import KeptBlock, run_block, run_block_back, summed_layers
from addapt.engines.onnx.ends import run_stem, run_tail, run_tail_back
from addapt.engines.onnx.graph import Graph, Map
from addapt.engines.onnx.layers import add_grids, mask, sum_squares
from addapt.engines.onnx.parameters import Parameter
from addapt.methods import DA3


class _Place(NamedTuple):
    """An adapted block, its attention, and its shifts by layer."""

    block: Block
    attention: Attention
    shifts: dict[str, Parameter]


class AdditiveAttention(Adaptor):
    """An attention beside each block from the first adapted one on, and these blocks' shifts.

    The first adapted block's own layers are left as they are: it needs no backward, nor does
    anything before it.
    """

    def __init__(self, network: Network, method: DA3) -> None:
        super().__init__(network)
        first = method.for_backbone(len(network.blocks)).first_block
        assert first is not None
        self._first = first
        self._places = []
        for place, block in enumerate(network.blocks[first:]):
            name = f"adaptor.attentions.{place}"
            inner = method.inner and place > 0 and bool(block.info.inner_layers)
            shifted = block.all_layers if method.biases and place > 0 else ()
            shifts = shift_parameters(shifted, f"adaptor.shifts.{place}")
            self._places.append(_Place(block, Attention(name, block, method, inner=inner), shifts))

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Those of all attentions, then all shifts."""
        attentions = [p for place in self._places for p in place.attention.parameters]
        return (*attentions, *self.shifts.values())

    @property
    def shifts(self) -> dict[str, Parameter]:
        """Those of all adapted blocks but the first."""
        return {layer: p for place in self._places for layer, p in place.shifts.items()}

    def forward(self, g: Graph, image: Map, values: Values, *, keep: bool) -> str:
        """Compute adapted features."""
        x = run_stem(g, self.network, image)
        for block in self.network.blocks[: self._first]:
            x, _ = run_block(g, block, x, {}, keep=False)
        self._kept: list[KeptBlock] = []
        for number, (block, attention, shifts) in enumerate(self._places):
            added, tiles = attention.forward(g, x, values)
            grids = shift_grids(g, shifts, values)
            if tiles is not None:
                grids.setdefault(block.layers[0].name, []).append(tiles)
            merges = block.activation == "none"  # then there is nothing between the two sums
            if merges:
                grids.setdefault(block.layers[-1].name, []).append(added)
            x, kept = run_block(g, block, x, grids, keep=keep and number > 0)
            if not merges:
                x = add_grids(g, x, [added])
            self._kept.append(kept)
        features, self._map = run_tail(g, self.network, x)
        return features

    def backward(self, g: Graph, gradient: str, values: Values) -> Values:
        """Return the gradients, from the last block to the first adapted one."""
        network = self.network
        passes = None if network.tail is None else mask(g, self._map, network.tail.activation)
        at, _ = run_tail_back(g, network, self._map, passes, gradient)
        gradients: Values = {}
        for number in reversed(range(len(self._places))):
            block, attention, shifts = self._places[number]
            of_added = sum_squares(g, at, attention.grid_side)
            if number == 0:
                gradients |= attention.backward(g, of_added, None, values)
                break
            below, before = run_block_back(g, self._kept[number], at)
            assert below is not None
            first = block.layers[0].name
            of_tiles = sum_squares(g, before[first], attention.grid_side)
            gradients |= attention.backward(g, of_added, of_tiles, values)
            summed = [layer.name for layer in summed_layers(block)]
            for name, parameter in shifts.items():
                # Sums of sums over squares: the maps themselves are large.
                small = before[name]
                if name in summed:
                    small = of_added if block.activation == "none" else small
                elif name == first:
                    small = of_tiles
                gradients[parameter.name] = g.total(small.value, 0, 2, 3)
            at = add_grids(g, below, [attention.of_input(g, values)])
        return gradients
