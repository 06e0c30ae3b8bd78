"""The fitted head: separates what can be separated, and the fold is exact."""

import torch
from torch import nn

from addapt.training.warm_start import fit_head


def test_separable_features_are_separated() -> None:
    labels = torch.arange(60) % 3
    features = torch.randn(60, 7) * 0.1 + 5
    features[torch.arange(60), labels] += 2
    head = nn.Linear(7, 3)
    fit_head(head, features, labels)
    assert torch.equal(head(features).argmax(1), labels)


def test_fit_is_deterministic_and_ignores_the_old_head() -> None:
    features, labels = torch.randn(20, 5), torch.arange(20) % 2
    heads = [nn.Linear(5, 2), nn.Linear(5, 2)]
    for head in heads:
        fit_head(head, features, labels)
    assert torch.equal(heads[0].weight, heads[1].weight)
    assert torch.equal(heads[0].bias, heads[1].bias)


def test_constant_feature_does_no_harm() -> None:
    features, labels = torch.randn(20, 3), torch.arange(20) % 2
    features[:, 1] = 4.0
    head = nn.Linear(3, 2)
    fit_head(head, features, labels)
    assert torch.isfinite(head.weight).all()
    assert torch.isfinite(head.bias).all()


def test_gradient_of_the_penalised_loss_vanishes() -> None:
    torch.manual_seed(0)
    features, labels = torch.randn(50, 4, dtype=torch.float64), torch.arange(50) % 3
    head = nn.Linear(4, 3).double()
    fit_head(head, features, labels)
    mean, std = features.mean(0), features.std(0, correction=0) + 1e-3
    w = (head.weight.detach() * std).requires_grad_()
    bias = (head.bias.detach() + head.weight.detach() @ mean).requires_grad_()
    loss = nn.functional.cross_entropy((features - mean) / std @ w.T + bias, labels)
    (loss + 1e-3 * w.square().sum()).backward()  # type: ignore[no-untyped-call]
    assert w.grad is not None
    assert bias.grad is not None
    assert w.grad.abs().max() < 1e-4
    assert bias.grad.abs().max() < 1e-4
