"""A library of one network that stands in for timm where that is not installed."""

import sys
from types import SimpleNamespace

import pytest
from torch import nn

from tests.engines.torch.backbones.test_backbone_of import MobileNet

NAME, PX = "timm:mobile", 32


def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `import timm` give that library, until the test ends."""
    names = ["mobile", "other", *(f"mobile_{number}" for number in range(50))]
    configs = {"mobile": SimpleNamespace(input_size=(3, PX, PX))}
    library = SimpleNamespace(
        list_models=lambda: names, create_model=_create_model, get_pretrained_cfg=configs.get
    )
    monkeypatch.setitem(sys.modules, "timm", library)


def _create_model(name: str, num_classes: int = 10) -> nn.Module:
    network = MobileNet()
    if not num_classes:
        network.classifier = nn.Identity()  # type: ignore[assignment]
    return network
