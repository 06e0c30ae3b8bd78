"""The networks of the catalogue, described."""

from collections.abc import Callable
from functools import partial

from addapt.backbones.catalogue import backbone_entry
from addapt.backbones.inverted_residuals import efficientnet_lite, mobilenet_v2
from addapt.backbones.resnets import resnet
from addapt.backbones.structure import Block, ConvLayer, Network

__all__ = ["Block", "ConvLayer", "Network", "network"]

_NETWORKS: dict[str, Callable[..., Network]] = {
    "efficientnet_lite0": partial(efficientnet_lite, width=1.0, depth=1.0),
    "efficientnet_lite1": partial(efficientnet_lite, width=1.0, depth=1.1),
    "efficientnet_lite2": partial(efficientnet_lite, width=1.1, depth=1.2),
    "resnet18": partial(resnet, block="basic", repeats=(2, 2, 2, 2)),
    "resnet26": partial(resnet, block="bottleneck", repeats=(2, 2, 2, 2)),
    "resnet50": partial(resnet, block="bottleneck", repeats=(3, 4, 6, 3)),
    "mobilenet_v2": mobilenet_v2,
}


def network(name: str) -> Network:
    """Describe the network of the backbone called `name`.

    Raises:
        UnknownNameError: there is no such backbone.
    """
    entry = backbone_entry(name)
    return _NETWORKS[name](name, entry.input)
