"""The networks of the catalogue, as they are described."""

import math
from itertools import pairwise

import pytest

from addapt._errors import UnknownNameError
from addapt.backbones import BACKBONES, Block, backbone_entry, network

# of convolutions, and scale and shift of batch norms
PARAMETERS = {
    "efficientnet_lite0": 3_371_008,
    "efficientnet_lite1": 4_135_680,
    "efficientnet_lite2": 4_811_072,
    "resnet18": 11_176_512,
    "resnet26": 13_946_176,
    "resnet50": 23_508_032,
    "mobilenet_v2": 2_223_872,
}
every_network = pytest.mark.parametrize("name", BACKBONES)


@every_network
def test_every_network_is_of_the_published_size_and_as_the_catalogue_says(name: str) -> None:
    described, entry = network(name), backbone_entry(name)
    layers = list(described.layers())
    assert sum(layer.weight_size + 2 * layer.out_channels for layer in layers) == PARAMETERS[name]
    assert (described.info.name, described.info.input) == (name, entry.input)
    assert described.info.features == entry.features == layers[-1].out_channels
    assert (described.info.weights, described.info.weights_sha256) == ("", "")
    assert len(described.shapes()) == 5 * len(layers)
    statistics = 2 * sum(layer.out_channels for layer in layers)
    assert sum(map(math.prod, described.shapes().values())) == PARAMETERS[name] + statistics


@every_network
def test_layers_follow_on_each_other_as_blocks_say(name: str) -> None:
    described = network(name)
    channels = described.stem.out_channels
    for block, info in zip(described.blocks, described.info.blocks, strict=True):
        assert block.info == info
        check_block(block, channels)
        channels = block.info.out_channels
    assert described.tail is None or described.tail.in_channels == channels


def check_block(block: Block, channels: int) -> None:
    info = block.info
    assert block.layers[0].in_channels == info.in_channels == channels
    assert all(a.out_channels == b.in_channels for a, b in pairwise(block.layers))
    assert block.layers[-1].out_channels == info.out_channels
    assert math.prod(layer.stride for layer in block.layers) == info.stride
    assert block.layers[-1].activation == "none"
    fits = info.stride == 1 and info.in_channels == info.out_channels
    assert info.identity_shortcut == fits
    if block.shortcut is not None:
        assert not fits
        assert block.shortcut.in_channels == info.in_channels
        assert block.shortcut.out_channels == info.out_channels
        assert (block.shortcut.stride, block.shortcut.activation) == (info.stride, "none")
    names = [layer.name.split(".", 2)[2] for layer in block.layers]
    assert info.inner_layers in ((), tuple(f"{name}.conv" for name in names))


def test_an_unknown_network_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'resnet18'"):
        network("resnet_18")
