"""Mirroring is allowed only where it leaves pictures recognisable."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from addapt.backbones import Backbone, BackboneInfo, InputInfo
from addapt.data import load_images, scan_folder
from addapt.training.mirror import class_means, frozen_features, survives_mirroring
from tests.conftest import MakeFolder


def left_and_right_backbone() -> Backbone:
    """Build a backbone whose features are the mean colours of the left and the right half."""
    plain = InputInfo(96, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "bilinear")
    tail = nn.Sequential(nn.AdaptiveAvgPool2d((1, 2)), nn.Flatten())
    backbone = Backbone(
        nn.Conv2d(3, 3, 1, bias=False), [], tail, BackboneInfo("halves", plain, 6, ())
    )
    with torch.no_grad():
        backbone.stem.weight.copy_(torch.eye(3)[:, :, None, None])  # type: ignore[operator]
    return backbone


@pytest.mark.parametrize(("bright", "expected"), [("side", False), ("colour", True)])
def test_mirroring_is_chosen_from_the_pictures(tmp_path: Path, bright: str, expected: bool) -> None:
    rng = np.random.default_rng(0)
    for k, label in enumerate(("one", "two")):
        (tmp_path / label).mkdir()
        for i in range(10):
            pixels = rng.integers(0, 60, (32, 32, 3), dtype=np.uint8)
            if bright == "side":  # class two is class one, mirrored
                pixels[:, 16 * k : 16 * k + 16] += 150
            else:
                pixels[..., k] += 150
            Image.fromarray(pixels).save(tmp_path / label / f"{i}.png")
    backbone = left_and_right_backbone()
    pictures, _ = load_images(scan_folder(tmp_path).train, 32, "bilinear")
    assert survives_mirroring(backbone, pictures, pictures) is expected


def test_mirrored_features_are_those_of_mirrored_pictures(make_folder: MakeFolder) -> None:
    pictures, _ = load_images(scan_folder(make_folder()).train, 32, "bilinear")
    plain = frozen_features(left_and_right_backbone(), pictures).reshape(-1, 3, 2)
    mirrored = frozen_features(left_and_right_backbone(), pictures, mirrored=True)
    torch.testing.assert_close(mirrored.reshape(-1, 3, 2), plain.flip(2))


def test_class_without_pictures_is_never_nearest() -> None:
    features = torch.tensor([[0.0, 1.0], [0.0, 3.0], [5.0, 5.0]])
    means = class_means(features, torch.tensor([0, 0, 2]))
    assert torch.equal(means[[0, 2]], torch.tensor([[0.0, 2.0], [5.0, 5.0]]))
    assert torch.cdist(features, means).argmin(1).tolist() == [0, 0, 2]
