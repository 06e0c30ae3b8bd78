"""What a method's step keeps, told without computing it."""

import pytest
import torch

from addapt.engines.torch.backbones import Backbone, load_backbone
from addapt.engines.torch.memory import KeptTensors, audit_method
from addapt.engines.torch.methods import attach
from addapt.methods import METHODS

PX, BATCH, CLASSES = 32, 2, 5
# On the device meta a batch norm keeps its statistics in tensors of its own.
NEARLY = {"finetune", "finetune_frozen_bn"}


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    """Return one backbone for all methods, none of which may change it."""
    return load_backbone("mobilenet_v2", "random")


@pytest.mark.parametrize("name", METHODS)
def test_rows_add_up_to_what_a_real_forward_keeps(name: str, backbone: Backbone) -> None:
    method = METHODS[name]()
    rows = audit_method(backbone.info.name, method, image_px=PX, batch=BATCH, classes=CLASSES)
    model = attach(backbone, method, CLASSES).train()
    x = torch.rand(BATCH, 3, PX, PX).contiguous(memory_format=torch.channels_last)
    with KeptTensors(model) as kept:
        model(x)
    told = sum(row.kept_bytes for row in rows)
    assert told == pytest.approx(kept.peak_bytes, rel=0.05 if name in NEARLY else 0)


def test_reasons() -> None:
    rows = audit_method("resnet18", METHODS["norm"](), image_px=PX)
    reasons = {row.reason for row in rows}
    assert any("a map it computes" in reason for reason in reasons)
    assert any("bits of an activation" in reason for reason in reasons)
    head = audit_method("resnet18", METHODS["head"](), image_px=PX)
    assert [(row.name, row.reason) for row in head] == [
        ("head", "its input, for its trained weight")
    ]


def test_what_is_audited_is_the_method_as_given() -> None:
    narrow, wide = (METHODS["lora"](rank=rank) for rank in (1, 8))  # type: ignore[call-arg]
    kept = [
        sum(row.kept_bytes for row in audit_method("resnet18", method, image_px=PX))
        for method in (narrow, wide)
    ]
    assert kept[0] < kept[1]
