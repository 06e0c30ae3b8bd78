"""Head only: the features are frozen, and nothing of the backbone is kept for backward."""

import pytest
import torch

from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.memory import KeptTensors
from addapt.engines.torch.methods import attach
from addapt.methods import Head


def test_features_need_no_gradient_and_nothing_else_is_kept(tiny_backbone: Backbone) -> None:
    model = attach(tiny_backbone, Head(), classes=2).train()
    assert not model.features(torch.randn(2, 3, 32, 32, requires_grad=True)).requires_grad
    assert set(model.domain_state()) == {"head.weight", "head.bias"}
    with KeptTensors(model) as kept:
        model(torch.randn(2, 3, 32, 32))
    assert kept.peak_bytes == 4 * 2 * 12


def test_training_takes_few_images_at_once(
    tiny_backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("addapt.engines.torch.methods.head.PIXELS_AT_ONCE", 40 * 40 * 2)
    model = attach(tiny_backbone.lean().double(), Head(), classes=2)
    sizes: list[int] = []
    model.backbone.stem.register_forward_pre_hook(lambda m, inputs: sizes.append(len(inputs[0])))
    x = torch.randn(3, 3, 40, 40, dtype=torch.float64)
    trained = model.train().features(x)
    whole = model.eval().features(x)
    assert sizes == [2, 1, 3]
    torch.testing.assert_close(trained, whole, rtol=1e-12, atol=1e-12)
