"""An ordinary loop changes what is trained, and nothing else."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from addapt.bench.contender import PUBLISHED
from addapt.engines.base import Images, StepSettings
from addapt.engines.torch.arrays import backbone_input
from addapt.engines.torch.bench.plain_steps import PlainSteps
from addapt.engines.torch.bench.published import own_optimiser, publish
from tests.engines.torch.gates.small_backbones import plain_small_backbone

CLASSES, BATCH, PX = 3, 4, 32
RATE = 0.25


def steps_of(method: str) -> PlainSteps:
    backbone = plain_small_backbone("basic")
    network = publish(backbone, method, CLASSES)
    return PlainSteps(
        network,
        partial(backbone_input, backbone),
        own_optimiser(network, method, 0.0),
        batch_statistics=method != "piggyback",
    )


def images() -> Images:
    return np.random.default_rng(0).integers(0, 256, (BATCH, PX, PX, 3), np.uint8)


def norms(network: nn.Module) -> dict[str, torch.Tensor]:
    buffers = network.named_buffers()
    return {name: tensor.clone() for name, tensor in buffers if name.endswith("running_mean")}


@pytest.mark.parametrize("method", PUBLISHED)
def test_a_step(method: str) -> None:
    steps = steps_of(method)
    network = steps.network
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    means = norms(network)
    logits = steps.logits(images())
    assert logits.shape == (BATCH, CLASSES) and logits.dtype == np.float32
    assert all(torch.equal(mean, means[name]) for name, mean in norms(network).items())

    steps.prepare(StepSettings(RATE))
    labels = np.array([0, 1, 2, 0])
    loss = steps.step(images(), labels, batch=BATCH)
    if method == "piggyback":  # in evaluation mode, too, the loss is that of these logits
        wanted = nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels))
        assert loss == pytest.approx(wanted.item(), rel=1e-5)
    gradients = {name: p.grad for name, p in network.named_parameters() if p.requires_grad}
    steps.update(1.0)

    for name, parameter in network.named_parameters():
        assert parameter.requires_grad is not torch.equal(parameter, before[name]), name
        assert parameter.grad is None
    if method != "piggyback":  # the first step of SGD
        name, parameter = list(network.named_parameters())[-1]
        gradient = gradients[name]
        assert gradient is not None
        torch.testing.assert_close(parameter.detach(), before[name] - RATE * gradient)
    moved = [not torch.equal(mean, means[name]) for name, mean in norms(network).items()]
    assert moved and all(each is (method != "piggyback") for each in moved)


def test_parts_of_a_batch_are_not_taken() -> None:
    with pytest.raises(AssertionError, match="of a part"):
        steps_of("finetune").step(images()[:2], np.array([0, 1]), batch=BATCH)
