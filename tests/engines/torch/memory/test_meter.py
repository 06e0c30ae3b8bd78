"""The meter: one number a run, and all of them about the same step."""

import sys

import pytest
import torch
from torch import Tensor, nn

from addapt.engines.torch.memory import StepMemory, measure
from addapt.memory import configure_allocator

MB = 1_000_000


class Runs:
    """A step of two micro-batches that counts how often it is run."""

    def __init__(self, device: str = "cpu") -> None:
        self.model = nn.Sequential(nn.Linear(100, 50), nn.Sigmoid(), nn.Linear(50, 10)).to(device)
        self.x = torch.ones(40, 100, device=device)
        self.runs = 0

    def __call__(self) -> Tensor:
        self.runs += 1
        for part in (self.x[:20].clone(), self.x[20:].clone()):
            loss: Tensor = self.model(part).sum()
            loss.backward()  # type: ignore[no-untyped-call]
        return loss


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_step(device: str) -> None:
    step = Runs(device)
    memory = measure(step, step.model)
    assert step.runs == 3
    assert memory.kept_by_layer == {"0": 20 * 100 * 4, "1": 20 * 50 * 4}
    assert memory.kept_bytes == sum(memory.kept_by_layer.values())
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        assert memory.peak_cuda_bytes is None
    assert (memory.peak_process_bytes is None) is memory.peak_process_how.startswith("not av")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_the_peak_of_the_process_is_the_steps_own() -> None:
    configure_allocator()
    x = torch.ones(20 * MB // 4, requires_grad=True)
    memory = measure(lambda: x.exp().sin())
    assert isinstance(memory, StepMemory)
    assert memory.kept_bytes == 20 * MB
    assert memory.peak_process_bytes == pytest.approx(40 * MB, rel=0.1)
    assert "VmHWM" in memory.peak_process_how or "sampled" in memory.peak_process_how


@pytest.mark.gpu
def test_a_step_on_a_gpu() -> None:
    expected, step = measure(cpu := Runs(), cpu.model), Runs("cuda")
    memory = measure(step, step.model)
    assert memory.kept_by_layer == expected.kept_by_layer
    assert memory.peak_cuda_bytes is not None
    assert memory.peak_cuda_bytes >= memory.kept_bytes
