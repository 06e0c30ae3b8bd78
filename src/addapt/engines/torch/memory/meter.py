"""The meter: what one training step takes, measured."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from addapt.engines.torch.memory.kept import KeptTensors
from addapt.memory.process import ProcessPeak, measure_process_peak


@dataclass(frozen=True)
class StepMemory:
    """The memory of one step, each number above what was there before it.

    Args:
        kept_bytes: what autograd kept for backward, at its most.
        kept_by_layer: the same, by the dotted name of the module that saved it.
        peak_process_bytes: of the whole process, the working space of operations
            included; None where it cannot be told.
        peak_process_how: how that was measured, or why not.
        peak_cuda_bytes: tensors on CUDA devices by their allocator; None without one.
    """

    kept_bytes: int
    kept_by_layer: dict[str, int]
    peak_process_bytes: int | None
    peak_process_how: str
    peak_cuda_bytes: int | None


def measure(step: Callable[[], object], model: nn.Module | None = None) -> StepMemory:
    """Measure the memory of `step` by running it three times.

    What looks on takes memory and changes the order of things itself, so each run
    measures one thing: the first nothing (it makes what is made once: gradients,
    packed weights, an optimiser's state), the second the kept bytes, the third the
    process and CUDA. Call `configure_allocator` before.

    Args:
        step: for example forward, loss and backward over all micro-batches.
        model: its own tensors do not count as kept, and its modules name the layers.
    """
    step()
    with KeptTensors(model) as kept:
        step()
    process, cuda_bytes = _measure_from_outside(step)
    return StepMemory(
        kept_bytes=kept.peak_bytes,
        kept_by_layer=kept.by_layer,
        peak_process_bytes=process.peak_bytes,
        peak_process_how=process.how,
        peak_cuda_bytes=cuda_bytes,
    )


def _measure_from_outside(step: Callable[[], object]) -> tuple[ProcessPeak, int | None]:
    # Only a step that used CUDA has made torch set it up.
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return measure_process_peak(step), None
    devices = range(torch.cuda.device_count())
    for device in devices:
        torch.cuda.reset_peak_memory_stats(device)
    start = sum(torch.cuda.memory_allocated(device) for device in devices)
    process = measure_process_peak(step)
    return process, sum(torch.cuda.max_memory_allocated(device) for device in devices) - start
