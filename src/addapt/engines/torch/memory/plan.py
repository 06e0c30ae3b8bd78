"""The planner: what a training step will take, told before it is made."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from addapt._errors import OptionError
from addapt.engines.torch.memory.simulate import SimulatedStep, Simulation
from addapt.engines.torch.memory.speed import try_speed
from addapt.engines.torch.methods import Method, build_method
from addapt.memory.amount import format_bytes
from addapt.memory.process import rss_bytes

MIN_IMAGE_PX = 32
# What tensors do not show, measured on Linux with PyTorch 2.13 (benchmarks/plan_accuracy.py).
# Pages of PyTorch's own code: those for loss, a small backward and the optimiser, ...
HEAD_CODE_BYTES = 3_700_000
# ... those for backward through convolutions as well, ...
BACKWARD_CODE_BYTES = 9_750_000
# ... and those for reading weights and answering a first image.
ANSWER_BYTES = 28_000_000
# oneDNN compiles each different convolution and remembers it; those of backward share much code.
BACKWARD_KERNEL_BYTES = 10_000
FORWARD_KERNEL_BYTES = 25_000
# Real convolutions are of less handy shapes than the one that the machine is tried with.
SHARE_OF_SPEED = 0.6
# Python, PyTorch and addapt, where this process cannot tell.
PROCESS_BYTES = 235_000_000


@dataclass(frozen=True)
class PlanRow:
    """What a step will take with one size of micro-batch.

    Args:
        method: its name.
        micro_batch: images in memory at once.
        predicted_peak_bytes: above the loaded model, the optimiser included.
        predicted_process_bytes: of the whole process: Python, PyTorch, model and step.
        kept_bytes: what autograd keeps for backward.
        step_s: seconds of one step of the whole batch, very roughly.
        fits: whether the process keeps to the budget; True without one.
    """

    method: str
    micro_batch: int
    predicted_peak_bytes: int
    predicted_process_bytes: int
    kept_bytes: int
    step_s: float
    fits: bool


@dataclass(frozen=True)
class Plan:
    """All that is possible, and the smallest budget with which anything is."""

    rows: tuple[PlanRow, ...]
    smallest_budget_bytes: int


def plan(
    backbone_name: str,
    method: str | Method,
    batch: int,
    image_px: int,
    classes: int = 10,
    budget_bytes: int | None = None,
    *,
    micro_batches: Sequence[int] | None = None,
) -> Plan:
    """Predict the memory of a training step for each size of micro-batch.

    The step is played on the device `meta`, so nothing is read and no network is loaded.
    The process is taken to begin as this one is at the first call: make it before
    loading anything.

    Args:
        backbone_name: one of `BACKBONES`.
        method: its name, or the method itself.
        batch: images a step.
        image_px: side of the images.
        classes: of the head.
        budget_bytes: for the whole process; only `fits` depends on it.
        micro_batches: sizes to look at; by default 1, 2, 4, ... and the batch, or the batch
            alone for methods with batch statistics.

    Raises:
        UnknownNameError: there is no such backbone or method.
        OptionError: a number makes no sense.
    """
    if isinstance(method, str):
        method = build_method(method)
    check_step(method, batch, image_px)
    if budget_bytes is not None and budget_bytes <= 0:
        raise OptionError(f"The budget is {budget_bytes} bytes: give a number above 0.")
    started_bytes = held_at_start_bytes()
    simulation = Simulation(backbone_name, method, classes)
    if micro_batches is None:
        micro_batches = [batch] if method.batch_statistics else doubled(batch)
    rows = []
    for size in micro_batches:
        step = simulation.step(batch, size, image_px)
        peak_bytes = predicted_peak_bytes(step, adapts_features=simulation.adapts_features)
        process_bytes = started_bytes + simulation.weight_bytes + ANSWER_BYTES + peak_bytes
        rows.append(
            PlanRow(
                method=method.name,
                micro_batch=size,
                predicted_peak_bytes=peak_bytes,
                predicted_process_bytes=process_bytes,
                kept_bytes=step.kept_bytes,
                step_s=_step_s(step) * math.ceil(batch / size),
                fits=budget_bytes is None or process_bytes <= budget_bytes,
            )
        )
    return Plan(tuple(rows), min(row.predicted_process_bytes for row in rows))


def doubled(batch: int) -> list[int]:
    """Return 1, 2, 4, ... and the batch itself."""
    return [*(2**power for power in range((batch - 1).bit_length())), batch]


def too_small_budget(smallest_budget_bytes: int) -> OptionError:
    """Say that no micro-batch keeps to the budget, and which budget would do."""
    return OptionError(
        "No micro-batch keeps to this budget: the smallest that would do is "
        f"{format_bytes(smallest_budget_bytes, round_up=True)}. Give that much, "
        "smaller images, another method, or a smaller backbone."
    )


def predicted_peak_bytes(step: SimulatedStep, *, adapts_features: bool) -> int:
    """Return what a process takes for a step above the loaded model: tensors, state and code."""
    code_bytes = BACKWARD_CODE_BYTES if adapts_features else HEAD_CODE_BYTES
    kernel_bytes = (
        FORWARD_KERNEL_BYTES * step.forward_kernels + BACKWARD_KERNEL_BYTES * step.backward_kernels
    )
    return step.state_bytes + step.peak_bytes + code_bytes + kernel_bytes


def _step_s(step: SimulatedStep) -> float:
    speed = try_speed()
    best_s = (
        step.multiply_adds * speed.multiply_add_s
        + step.result_bytes * speed.byte_s
        + step.calls * speed.call_s
    )
    return best_s / SHARE_OF_SPEED


@lru_cache
def held_at_start_bytes() -> int:
    """Return what a process holds that has imported everything and loaded nothing.

    Measured once: a simulation imports parts of PyTorch that training does not need.
    """
    return rss_bytes() or PROCESS_BYTES


def check_step(method: Method, batch: int, image_px: int) -> None:
    """Refuse a step that cannot be made.

    Raises:
        OptionError: a number makes no sense.
    """
    least = 2 if method.batch_statistics else 1
    if batch < least:
        why = ", whose statistics need several images" if method.batch_statistics else ""
        raise OptionError(f"The batch is {batch}: {method.name}{why} takes at least {least}.")
    if image_px < MIN_IMAGE_PX:
        raise OptionError(f"The images' side is {image_px} px: give at least {MIN_IMAGE_PX}.")
