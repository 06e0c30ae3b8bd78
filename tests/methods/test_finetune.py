"""Fine-tuning trains everything in a copy, batch norms included."""

import torch

from addapt.backbones import Backbone
from addapt.methods import Finetune


def test_batch_norms_of_the_copy_learn_statistics(tiny_backbone: Backbone) -> None:
    model = Finetune().attach(tiny_backbone, classes=2).train()
    name = "adaptor.layers.1.bn.running_mean"
    before = model.domain_state()[name].clone()
    shared = tiny_backbone.state_dict()["blocks.0.bn.running_mean"].clone()
    model(torch.randn(4, 3, 32, 32))
    assert not torch.equal(model.domain_state()[name], before)
    assert torch.equal(tiny_backbone.state_dict()["blocks.0.bn.running_mean"], shared)


def test_every_copied_parameter_counts_as_pretrained(tiny_backbone: Backbone) -> None:
    model = Finetune().attach(tiny_backbone, classes=2)
    pretrained = {id(p) for p in model.adaptor.pretrained_parameters()}
    assert len(pretrained) == len(list(tiny_backbone.parameters()))
    assert all(p.requires_grad for p in model.adaptor.pretrained_parameters())
    assert pretrained | {id(p) for p in model.head.parameters()} == {
        id(p) for p in model.domain_parameters()
    }
