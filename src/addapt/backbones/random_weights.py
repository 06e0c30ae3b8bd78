"""Random weights of a network, from a seed: the same on every machine and for every engine."""

import math

import numpy as np
from numpy.typing import NDArray

from addapt.backbones.draws import UniformDraws
from addapt.backbones.structure import ConvLayer, Network


def random_weights(network: Network, seed: int) -> dict[str, NDArray[np.float32]]:
    """Draw He's weights, which keep the signal's energy; batch norms do nothing yet."""
    draws = UniformDraws(seed)
    # Domains that were learned on random weights depend on this order.
    inner = [layer for layer in network.layers() if layer is not network.stem]
    weights = {layer.name: _draw(layer, draws) for layer in (*inner, network.stem)}
    return {
        name: tensor
        for layer in network.layers()
        for name, tensor in _with_idle_norm(layer, weights[layer.name]).items()
    }


def _draw(layer: ConvLayer, draws: UniformDraws) -> NDArray[np.float32]:
    shape = layer.weight_shape
    draws.skip(layer.weight_size)  # PyTorch's convolution first fills itself in its own way
    gain = 1.0 if layer.activation == "none" else math.sqrt(2.0)
    return draws.uniform(shape, math.sqrt(3.0) * (gain / math.sqrt(math.prod(shape[1:]))))


def _with_idle_norm(
    layer: ConvLayer, weight: NDArray[np.float32]
) -> dict[str, NDArray[np.float32]]:
    idle = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1.0}
    tensors = {f"{layer.name}.conv.weight": weight}
    for tensor, value in idle.items():
        tensors[f"{layer.name}.bn.{tensor}"] = np.full(layer.out_channels, value, np.float32)
    return tensors
