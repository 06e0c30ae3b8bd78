"""MobileNetV2 against plain networks with the names of torchvision and timm."""

import pytest
import torch
from torch import nn

from addapt.engines.torch.backbones.mobilenet_v2 import mobilenet_v2, rename_mobilenet_v2
from addapt.engines.torch.backbones.weights import load_weights
from tests.engines.torch.backbones.reference_networks import (
    MOBILENET_STAGES,
    TimmNetwork,
    TorchvisionMobileNetV2,
    images,
    randomised,
    sorted_state,
)


@pytest.mark.parametrize("px", [64, 75])
@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_foreign_names_and_weights_give_the_same_features(library: str, px: int) -> None:
    torch.manual_seed(0)
    reference: nn.Module
    if library == "torchvision":
        reference, classifier = TorchvisionMobileNetV2(), "classifier.1"
    else:
        reference, classifier = TimmNetwork(MOBILENET_STAGES, same=False, eps=1e-5), "classifier"
    randomised(reference)
    backbone = mobilenet_v2("mobilenet_v2")
    rest = load_weights(backbone, sorted_state(reference), rename_mobilenet_v2, library)
    assert sorted(rest) == [f"{classifier}.bias", f"{classifier}.weight"]
    assert torch.equal(backbone(images(px=px)), reference(images(px=px)))


def test_names_that_are_nobodys_stay_as_they_are() -> None:
    for name in ("features.1.conv.3.weight", "features.19.0.weight", "blocks.0.0.conv_pwl.weight"):
        assert rename_mobilenet_v2(name) == name


def test_our_own_names_stay() -> None:
    with torch.device("meta"):
        network = mobilenet_v2("mobilenet_v2")
    assert all(rename_mobilenet_v2(name) == name for name in network.state_dict())
