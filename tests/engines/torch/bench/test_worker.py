"""A contender's steps, in this very process."""

import sys

import pytest
import torch

from addapt.bench.contender import Contender, Workload
from addapt.engines.torch.bench.worker import BenchedStep

WORK = Workload("resnet18", "random", batch=4, image_px=32, threads=1, device="cpu")
SMALLEST = Contender("da3", "addapt", "smallest", 1, packed=False)
WHOLE = Contender("da3", "addapt", "fastest", 4, packed=False)
FINETUNE = Contender("finetune", "eager", "whole batch", 4, packed=False)


def test_a_step_trains() -> None:
    benched = BenchedStep(SMALLEST, WORK)
    before = [p.detach().clone() for p in benched.model.domain_parameters()]
    assert benched.time(2) > 0
    after = benched.model.domain_parameters()
    assert not all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_parts_of_a_batch_make_the_same_step() -> None:
    gradients = []
    for contender in (SMALLEST, WHOLE):
        benched = BenchedStep(contender, WORK)
        benched.step(contender.micro_batch)
        gradients.append([p.grad for p in benched.model.domain_parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_memory_of_lean_and_plain_steps() -> None:
    smallest, whole, finetune = (
        BenchedStep(contender, WORK).measure_memory() for contender in (SMALLEST, WHOLE, FINETUNE)
    )
    assert 0 < smallest["kept_bytes"] < whole["kept_bytes"] < finetune["kept_bytes"] / 5
    assert 0 < finetune["peak_bytes"] < finetune["process_bytes"]
    # Gradients and two moments of every weight are more than any adaptor takes.
    assert smallest["peak_bytes"] < finetune["peak_bytes"]


def test_what_checkpointing_keeps_is_not_told() -> None:
    contender = Contender("bias+checkpointing", "eager", "whole batch", 4, packed=False)
    assert BenchedStep(contender, WORK).measure_memory()["kept_bytes"] is None
