"""Head only, as nodes: the frozen features as they are."""

from addapt.engines.onnx.adaptor import Adaptor, Values
from addapt.engines.onnx.blocks import run_block
from addapt.engines.onnx.ends import run_stem, run_tail
from addapt.engines.onnx.graph import Graph, Map
from addapt.engines.onnx.parameters import Parameter


class FrozenFeatures(Adaptor):
    """The network as it is: nothing in it is trained."""

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """None."""
        return ()

    @property
    def shifts(self) -> dict[str, Parameter]:
        """None."""
        return {}

    def forward(self, g: Graph, image: Map, values: Values, *, keep: bool) -> str:
        """Compute the frozen features."""
        x = run_stem(g, self.network, image)
        for block in self.network.blocks:
            x, _ = run_block(g, block, x, {}, keep=False)
        features, _ = run_tail(g, self.network, x)
        return features

    def backward(self, g: Graph, gradient: str, values: Values) -> Values:
        """Return nothing."""
        return {}
