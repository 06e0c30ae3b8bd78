"""Head only: the features are frozen, and nothing of the backbone is kept for backward."""

import torch

from addapt.backbones import Backbone
from addapt.methods import Head


def test_features_need_no_gradient(tiny_backbone: Backbone) -> None:
    model = Head().attach(tiny_backbone, classes=2).train()
    assert not model.features(torch.randn(2, 3, 32, 32, requires_grad=True)).requires_grad
    assert set(model.domain_state()) == {"head.weight", "head.bias"}


def test_nothing_but_features_is_kept(tiny_backbone: Backbone) -> None:
    model = Head().attach(tiny_backbone, classes=2)
    kept: list[torch.Size] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.shape)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(torch.randn(2, 3, 32, 32))
    assert set(kept) == {torch.Size((2, 12))}
