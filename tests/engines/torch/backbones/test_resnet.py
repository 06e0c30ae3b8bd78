"""ResNets against a plain network with torchvision's names."""

from typing import Literal

import pytest
import torch

from addapt.engines.torch.backbones.fitting import load_weights
from addapt.engines.torch.backbones.resnet import resnet, resnet_names
from tests.engines.torch.backbones.reference_networks import (
    TorchvisionResNet,
    images,
    randomised,
    sorted_state,
)


@pytest.mark.parametrize(
    ("block", "repeats", "px"), [("basic", (2, 1, 2, 1), 64), ("bottleneck", (1, 2, 1, 1), 75)]
)
def test_torchvision_names_and_weights_give_the_same_features(
    block: Literal["basic", "bottleneck"], repeats: tuple[int, ...], px: int
) -> None:
    reference = randomised(TorchvisionResNet(repeats, bottleneck=block == "bottleneck"))
    with torch.device("meta"):
        backbone = resnet("resnet", block, repeats)
    rest = load_weights(backbone, sorted_state(reference), resnet_names(repeats), "torchvision")
    assert sorted(rest) == ["fc.bias", "fc.weight"]
    assert torch.equal(backbone(images(px=px)), reference(images(px=px)))


def test_a_block_that_the_stage_does_not_have_stays_unknown() -> None:
    rename = resnet_names((2, 2, 2, 2))
    assert rename("layer2.1.bn2.bias") == "blocks.3.residual.1.bn.bias"
    assert rename("layer2.2.bn2.bias") == "layer2.2.bn2.bias"
    assert rename("layer5.0.conv1.weight") == "layer5.0.conv1.weight"
    assert rename("layer0.0.conv1.weight") == "layer0.0.conv1.weight"
