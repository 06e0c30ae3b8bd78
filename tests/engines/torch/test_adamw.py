"""AdamW against torch.optim's class, and what it must not bring along."""

import subprocess
import sys

import torch
from torch import nn

from addapt.engines.torch.adamw import AdamW, ParameterGroup


def test_equals_the_class_of_torch() -> None:
    weight_decay = 0.3
    start = [torch.randn(4, 3), torch.randn(5), torch.randn(2)]
    ours, theirs = ([nn.Parameter(value.clone()) for value in start] for _ in range(2))
    optimiser = AdamW(
        [ParameterGroup(ours[:2], 1e-2), ParameterGroup(ours[2:], 1e-3)], weight_decay
    )
    reference = torch.optim.AdamW(
        [{"params": theirs[:2]}, {"params": theirs[2:]}], weight_decay=weight_decay
    )
    for step in range(5):
        factor = 1 - step / 10
        for group, peak in zip(reference.param_groups, (1e-2, 1e-3), strict=True):
            group["lr"] = peak * factor
        for parameter, other in zip(ours, theirs, strict=True):
            parameter.grad = torch.randn_like(parameter)
            other.grad = parameter.grad.clone()
        optimiser.step(factor)
        reference.step()
        optimiser.zero_grad()
        assert all(parameter.grad is None for parameter in ours)
    for parameter, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(parameter, other, rtol=1e-5, atol=1e-7)


def test_parameters_without_a_gradient_stay() -> None:
    moving, resting = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    optimiser = AdamW([ParameterGroup([moving, resting], 0.1)], weight_decay=0.5)
    moving.grad = torch.ones(3)
    optimiser.step()
    assert not torch.equal(moving, torch.ones(3))
    assert torch.equal(resting, torch.ones(3))
    assert resting not in optimiser.state


def test_training_does_not_import_the_compiler() -> None:
    program = """
import sys, torch, addapt
from addapt.engines.torch.adamw import AdamW, ParameterGroup
from addapt.engines.torch.arrays import to_input
from addapt.engines.torch.memory import accumulate_gradients
model = addapt.attach(addapt.load_backbone("mobilenet_v2"), addapt.DA3(), classes=2)
optimiser = AdamW([ParameterGroup(list(model.domain_parameters()), 1e-3)])
accumulate_gradients(model, torch.zeros(2, 3, 32, 32), torch.tensor([0, 1]), micro_batch=1)
optimiser.step()
print(*sorted({"torch._dynamo", "sympy", "torchmetrics", "matplotlib"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
