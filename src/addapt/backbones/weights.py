"""A backbone's weights by name: loaded, folded, and known by their hash."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from addapt._errors import WeightsError
from addapt._text import printable
from addapt.backbones.catalogue import BACKBONES, backbone_entry
from addapt.backbones.fitting import fit, fits
from addapt.backbones.networks import network
from addapt.backbones.pretrained import weights_file
from addapt.backbones.random_weights import random_weights
from addapt.backbones.state_file import read_state
from addapt.backbones.structure import ConvLayer, Network


@dataclass(frozen=True)
class LoadedWeights:
    """The tensors of a network by name, batch norms apart from convolutions.

    Arrays may be read-only views of the file they came from: fold or copy them, and let go.
    `source` says in words where they came from, `sha256` identifies them by content.
    """

    tensors: dict[str, NDArray[np.float32]]
    source: str
    sha256: str


def load_weights(name: str, weights: str | Path | None = None, *, seed: int = 0) -> LoadedWeights:
    """Load the weights of a backbone.

    Args:
        name: one of `addapt.backbones.BACKBONES`.
        weights: a weights file, or "random"; by default the ImageNet weights of the
            installed package where there is one, else random.
        seed: of random weights.

    Raises:
        UnknownNameError: there is no such backbone.
        MissingPackageError: the package with the ImageNet weights is not installed.
        WeightsError: the weights cannot be read or do not fit.
    """
    entry = backbone_entry(name)
    if weights is None and entry.package is not None:
        tensors = _fit(name, read_state(weights_file(entry.package)), str(entry.package))
        assert entry.weights_sha256 is not None
        # Whoever knows the file by its hash knows what is in it.
        return LoadedWeights(tensors, f"ImageNet ({entry.package})", entry.weights_sha256)
    if weights is None or weights == "random":
        tensors, source = random_weights(network(name), seed), f"random (seed {seed})"
    else:
        path = Path(weights).expanduser()
        tensors = _fit(name, read_state(path), f"file {path}")
        source = f"file {printable(path.name)}"
    return LoadedWeights(tensors, source, weights_sha256(tensors))


def folded(
    network: Network, tensors: Mapping[str, NDArray[np.float32]]
) -> Iterator[tuple[ConvLayer, NDArray[np.float32], NDArray[np.float32]]]:
    """Yield each layer with weight and bias of the convolution that does its batch norm's work too.

    These are new arrays, made one layer at a time.
    """
    for layer in network.layers():
        norm = f"{layer.name}.bn"
        scale = tensors[f"{norm}.weight"] / np.sqrt(
            tensors[f"{norm}.running_var"].astype(np.float64) + layer.bn_eps
        )
        bias = tensors[f"{norm}.bias"] - tensors[f"{norm}.running_mean"] * scale
        weight = tensors[f"{layer.name}.conv.weight"]
        factor = scale.astype(np.float32)[:, None, None, None]
        yield layer, np.multiply(weight, factor, order="C"), bias.astype(np.float32)


def weights_sha256(tensors: Mapping[str, NDArray[np.float32]]) -> str:
    """Hash names, shapes and bytes of tensors, in hexadecimal.

    Domain files know their backbone by it: it must never change.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} torch.float32 {tensor.shape}\n".encode())
        digest.update(np.ascontiguousarray(tensor, "<f4").data)
    return digest.hexdigest()


def _fit(name: str, state: Mapping[str, NDArray[Any]], source: str) -> dict[str, NDArray[Any]]:
    try:
        return fit(network(name), state, source)
    except WeightsError as error:
        fitting = [other for other in BACKBONES if fits(network(other), state)]
        if not fitting or name in fitting:
            raise
        raise WeightsError(f"{error} They fit {' and '.join(fitting)}.") from error
