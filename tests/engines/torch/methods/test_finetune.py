"""Fine-tuning trains everything in a copy; batch norms learn statistics, or keep theirs."""

import torch
from torch import nn

from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.methods import attach
from addapt.methods import Finetune, FinetuneFrozenBn
from tests.engines.torch.gates.small_backbones import small_backbone


def test_batch_norms_of_the_copy_learn_statistics(tiny_backbone: Backbone) -> None:
    model = attach(tiny_backbone, Finetune(), classes=2).train()
    name = "adaptor.layers.1.bn.running_mean"
    before = model.domain_state()[name].clone()
    shared = tiny_backbone.state_dict()["blocks.0.bn.running_mean"].clone()
    model(torch.randn(4, 3, 32, 32))
    assert not torch.equal(model.domain_state()[name], before)
    assert torch.equal(tiny_backbone.state_dict()["blocks.0.bn.running_mean"], shared)


def test_every_copied_parameter_counts_as_pretrained(tiny_backbone: Backbone) -> None:
    model = attach(tiny_backbone, Finetune(), classes=2)
    pretrained = {id(p) for p in model.adaptor.pretrained_parameters()}
    assert len(pretrained) == len(list(tiny_backbone.parameters()))
    assert all(p.requires_grad for p in model.adaptor.pretrained_parameters())
    assert pretrained | {id(p) for p in model.head.parameters()} == {
        id(p) for p in model.domain_parameters()
    }


def test_frozen_statistics_stay_and_are_no_part_of_the_domain(tiny_backbone: Backbone) -> None:
    model = attach(tiny_backbone, FinetuneFrozenBn(), classes=2).train()
    norm = model.adaptor.get_submodule("layers.1.bn")
    assert isinstance(norm, nn.BatchNorm2d)
    x = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(model.features(x), tiny_backbone(x))
    assert model.adaptor.training and not norm.training
    assert not any("running" in name or "batches" in name for name in model.domain_state())
    assert norm.running_mean is not None
    assert torch.equal(norm.running_mean, tiny_backbone.state_dict()["blocks.0.bn.running_mean"])
    model.features(x).square().sum().backward()  # type: ignore[no-untyped-call]
    assert norm.weight.grad is not None and norm.weight.grad.all()
    assert norm.bias.grad is not None and norm.bias.grad.all()


def test_a_lean_backbone_is_read_again_apart() -> None:
    model = attach(small_backbone("basic"), FinetuneFrozenBn(), classes=2)
    norms = [layer for layer in model.adaptor.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert len(norms) == 10
    model.train()
    assert not any(norm.training for norm in norms)
