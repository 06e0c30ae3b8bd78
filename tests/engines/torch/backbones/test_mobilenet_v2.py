"""MobileNetV2 against a plain network, and the names of its weights."""

import pytest
import torch

from addapt.engines.torch.backbones.fitting import load_weights
from addapt.engines.torch.backbones.mobilenet_v2 import mobilenet_v2, mobilenet_v2_names
from tests.engines.torch.backbones.reference_networks import (
    MOBILENET_STAGES,
    TimmNetwork,
    images,
    randomised,
    sorted_state,
)


@pytest.mark.parametrize("px", [64, 75])
def test_timm_names_and_weights_give_the_same_features(px: int) -> None:
    reference = randomised(TimmNetwork(MOBILENET_STAGES, same=False, eps=1e-5))
    backbone = mobilenet_v2("mobilenet_v2")
    rest = load_weights(backbone, sorted_state(reference), mobilenet_v2_names(), "timm")
    assert sorted(rest) == ["classifier.bias", "classifier.weight"]
    assert torch.equal(backbone(images(px=px)), reference(images(px=px)))


def test_torchvision_names() -> None:
    ours = {
        "features.0.0.weight": "stem.conv.weight",
        "features.0.1.running_mean": "stem.bn.running_mean",
        "features.1.conv.0.0.weight": "blocks.0.depthwise.conv.weight",
        "features.1.conv.0.1.bias": "blocks.0.depthwise.bn.bias",
        "features.1.conv.1.weight": "blocks.0.project.conv.weight",
        "features.1.conv.2.running_var": "blocks.0.project.bn.running_var",
        "features.17.conv.0.0.weight": "blocks.16.expand.conv.weight",
        "features.17.conv.0.1.bias": "blocks.16.expand.bn.bias",
        "features.17.conv.1.0.weight": "blocks.16.depthwise.conv.weight",
        "features.17.conv.1.1.bias": "blocks.16.depthwise.bn.bias",
        "features.17.conv.2.weight": "blocks.16.project.conv.weight",
        "features.17.conv.3.bias": "blocks.16.project.bn.bias",
        "features.18.0.weight": "tail.0.conv.weight",
        "features.18.1.bias": "tail.0.bn.bias",
        "classifier.1.weight": None,
        # what is nobody's stays as it is
        "features.1.conv.3.weight": "features.1.conv.3.weight",
        "features.19.0.weight": "features.19.0.weight",
        "blocks.0.0.conv_pwl.weight": "blocks.0.0.conv_pwl.weight",
    }
    rename = mobilenet_v2_names()
    assert {name: rename(name) for name in ours} == ours
