"""Networks of each family against plain ones that have other programs' names."""

from typing import Literal

import pytest
import torch
from torch import nn

from addapt.backbones import IMAGENET_INPUT, Network, network
from addapt.backbones.fitting import fit
from addapt.backbones.resnets import resnet
from addapt.engines.torch.arrays import to_arrays
from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.backbones.registry import build_backbone, fill
from tests.engines.torch.backbones.reference_networks import (
    LITE0_STAGES,
    MOBILENET_STAGES,
    TimmNetwork,
    TorchvisionResNet,
    images,
    randomised,
    sorted_state,
)


def with_weights_of(reference: nn.Module, described: Network) -> Backbone:
    with torch.device("meta"):
        backbone = build_backbone(described)
    fill(backbone, fit(described, to_arrays(sorted_state(reference)), "here"))
    return backbone


@pytest.mark.parametrize(
    ("block", "repeats", "px"), [("basic", (2, 1, 2, 1), 64), ("bottleneck", (1, 2, 1, 1), 75)]
)
def test_resnets_of_torchvision(
    block: Literal["basic", "bottleneck"], repeats: tuple[int, ...], px: int
) -> None:
    reference = randomised(TorchvisionResNet(repeats, bottleneck=block == "bottleneck"))
    backbone = with_weights_of(reference, resnet("resnet", IMAGENET_INPUT, block, repeats))
    assert torch.equal(backbone(images(px=px)), reference(images(px=px)))


def test_efficientnet_lite_of_timm() -> None:
    reference = randomised(TimmNetwork(LITE0_STAGES, same=True, eps=1e-3))
    backbone = with_weights_of(reference, network("efficientnet_lite0"))
    assert torch.equal(backbone(images()), reference(images()))


@pytest.mark.parametrize("px", [64, 75])
def test_mobilenet_v2_of_timm(px: int) -> None:
    reference = randomised(TimmNetwork(MOBILENET_STAGES, same=False, eps=1e-5))
    backbone = with_weights_of(reference, network("mobilenet_v2"))
    assert torch.equal(backbone(images(px=px)), reference(images(px=px)))
