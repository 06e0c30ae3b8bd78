"""Random weights: those that domains were learned on."""

import numpy as np
import pytest
import torch
from torch import nn

from addapt.backbones import BACKBONES, network
from addapt.backbones.random_weights import random_weights
from addapt.backbones.weights import weights_sha256
from tests.backbones.test_draws import rounds_once

# as PyTorch drew them for version 0.1.0, with the seeds 0 and 7
KNOWN = {
    "efficientnet_lite0": (
        "9ff3ccbc0e95b52fc228f29886548fbf68da9030e212789e8724ddae75d4e74f",
        "8c6e07f52db30ff346042ceaa57450acb89da78c0d38b09333d8bbc3f5f7a44e",
    ),
    "efficientnet_lite1": (
        "dfd40d8453f848c459ffa0abe7bcb6f5cca1d01b4fa75504c635065faabd0524",
        "3d8efdde44f4a5e2794b651fa01f0513ea9ef0b63bcecd02c2c11cd8eacdeb35",
    ),
    "efficientnet_lite2": (
        "9b3384aa0187793571221e20143d4c095e518cbe93d10c0333fac46a87f8e61c",
        "92f49a73c006e904961eb938f2e811f2ac769a265fdb4ae90646d5bd7b1d9b31",
    ),
    "resnet18": (
        "12d5666002236599f15b7d2a5f28d05586403a70c8a7f9e691324f32e7a4865a",
        "2d32fc12f9b31d1c4fd7cdfe3ed09284bdb469fa3a7578b5090cec80c58d6ae5",
    ),
    "resnet26": (
        "bf8ad536d5ee88a6cdafc46f32f403b97abe72a3f79642d54a5ce06df86beb5d",
        "d4779161a97726d22c4e37cfbfb4e12950ecf281ca1c57024dbd9aba894ce605",
    ),
    "resnet50": (
        "b16ba73434e1e9fcb6222556295707e5e3b0fbd3ec07a950634c98eb46eda837",
        "1c19da896aaff624bb56ddbd7744f1abdedae78b8efbe99909abb21cc677b48c",
    ),
    "mobilenet_v2": (
        "eec45e03a17bca2c6c23bfea89e8f9d325d80fd2abceb81dc5a4725f16132684",
        "68c5155bb8c546e84697025c330dbafe3ac2eee49c0f368ddff84bcd4b9f9af0",
    ),
}


@pytest.mark.parametrize("name", BACKBONES)
def test_the_weights_of_a_seed_never_change(name: str) -> None:
    described = network(name)
    assert tuple(weights_sha256(random_weights(described, seed)) for seed in (0, 7)) == KNOWN[name]


@rounds_once
def test_weights_are_what_pytorch_draws() -> None:
    described = network("resnet18")
    weights = random_weights(described, seed=3)
    torch.manual_seed(3)
    stem, *others = described.layers()
    for layer in (*others, stem):
        conv = nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel, bias=False)
        nn.init.kaiming_uniform_(
            conv.weight, nonlinearity="linear" if layer.activation == "none" else "relu"
        )
        drawn = weights[f"{layer.name}.conv.weight"]
        assert np.array_equal(drawn, conv.weight.detach().numpy()), layer.name


def test_batch_norms_do_nothing_yet() -> None:
    weights = random_weights(network("mobilenet_v2"), seed=0)
    values = {"weight": 1, "bias": 0, "running_mean": 0, "running_var": 1}
    for name, value in values.items():
        norms = [tensor for key, tensor in weights.items() if key.endswith(f"bn.{name}")]
        assert len(norms) == 52
        assert all((tensor == value).all() for tensor in norms)
