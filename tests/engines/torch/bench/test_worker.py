"""A contender's steps on PyTorch, in this very process."""

import sys

import pytest

from addapt.bench.contender import AS_PUBLISHED, PUBLISHED, Contender, Workload
from addapt.engines.torch.bench.plain_steps import PlainSteps
from addapt.engines.torch.bench.worker import load_benched

WORK = Workload("resnet18", "random", batch=4, image_px=32, threads=1, device="cpu")
SMALLEST = Contender("da3", "torch", "smallest", 1, packed=False)
WHOLE = Contender("da3", "torch", "fastest", 4, packed=False)
FINETUNE = Contender("finetune", "eager", "whole batch", 4, packed=False)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_memory_of_lean_and_plain_steps() -> None:
    smallest, whole, finetune = (
        load_benched(contender, WORK).measure_memory(contender.micro_batch or 0)
        for contender in (SMALLEST, WHOLE, FINETUNE)
    )
    assert 0 < smallest["kept_bytes"] < whole["kept_bytes"] < finetune["kept_bytes"] / 5
    assert 0 < finetune["peak_bytes"] < finetune["process_bytes"]
    # Gradients and two moments of every weight are more than any adaptor takes.
    assert smallest["peak_bytes"] < finetune["peak_bytes"]


def test_what_checkpointing_keeps_is_not_told() -> None:
    contender = Contender("bias+checkpointing", "eager", "whole batch", 4, packed=False)
    assert load_benched(contender, WORK).measure_memory(4)["kept_bytes"] is None


@pytest.mark.parametrize("method", PUBLISHED)
def test_a_rival_as_published_keeps_more_than_the_same_method_of_ours(method: str) -> None:
    rival = Contender(method, "eager", AS_PUBLISHED, 4, packed=False)
    benched = load_benched(rival, WORK)
    theirs = benched.measure_memory(4)
    assert benched.time(4) > 0
    if method != "finetune":  # which is the same in the product
        own = load_benched(Contender(method, "torch", "default", 4, packed=False), WORK)
        assert 2 * own.measure_memory(4)["kept_bytes"] < theirs["kept_bytes"]


def test_parallel_adapters_get_maps_with_channels_first() -> None:
    """With channels last PyTorch crashes now and then."""
    benched = load_benched(Contender("parallel_adapter", "eager", AS_PUBLISHED, 4, False), WORK)
    assert isinstance(benched.model, PlainSteps)
    first: list[bool] = []
    benched.model.network.register_forward_pre_hook(
        lambda _, given: first.append(given[0].is_contiguous())
    )
    benched.step(4)
    assert first == [True]
