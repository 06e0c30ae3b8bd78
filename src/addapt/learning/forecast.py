"""What a step will take, predicted in a process of its own.

Playing a step on the device `meta` imports PyTorch's compiler, about 70 MB that the process
that learns should not hold.
"""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from addapt._errors import AddaptError, OptionError, TrainingError
from addapt.engines.torch.memory.plan import (
    ANSWER_BYTES,
    FORWARD_KERNEL_BYTES,
    check_step,
    held_at_start_bytes,
    predicted_peak_bytes,
)
from addapt.engines.torch.memory.simulate import Simulation
from addapt.engines.torch.methods import Method, build_method


@dataclass(frozen=True)
class Forecast:
    """The memory of a step above the loaded backbone, which has answered an image.

    Args:
        peak_bytes: during a step, for each size of micro-batch.
        resting_bytes: between two steps: gradients, the optimiser's state, code.
        domain_bytes: of the domain's tensors.
        shape_bytes: of the convolutions that are compiled for one more size of micro-batch.
        process_bytes: of a process before its first step, where it cannot measure itself.
    """

    peak_bytes: dict[int, int]
    resting_bytes: int
    domain_bytes: int
    shape_bytes: int
    process_bytes: int


def forecast(
    backbone_name: str,
    method: Method,
    *,
    batch: int,
    micro_batches: Sequence[int],
    image_px: int,
    classes: int,
) -> Forecast:
    """Predict what a step will take with each of `micro_batches`.

    Raises:
        OptionError: the planner refused.
        TrainingError: the other process failed.
    """
    order = {
        "backbone_name": backbone_name,
        "method": method.name,
        "hyperparameters": dataclasses.asdict(method),
        "batch": batch,
        "micro_batches": list(micro_batches),
        "image_px": image_px,
        "classes": classes,
    }
    done = subprocess.run(
        [sys.executable, "-m", "addapt.learning.forecast"],
        input=json.dumps(order),
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONSAFEPATH": "1"},  # files in this folder are not our modules
        check=False,
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise TrainingError(
            f"What learning will take could not be predicted ({reason}). "
            "Free some memory and try again, or learn without --budget."
        )
    answer = json.loads(done.stdout.splitlines()[-1])
    if "refused" in answer:
        raise OptionError(answer["refused"])
    peak_bytes = {int(size): peak for size, peak in answer.pop("peak_bytes").items()}
    return Forecast(peak_bytes=peak_bytes, **answer)


def predict(
    backbone_name: str,
    method: Method,
    batch: int,
    micro_batches: Sequence[int],
    image_px: int,
    classes: int,
) -> Forecast:
    """Do the work of `forecast` in this very process."""
    check_step(method, batch, image_px)
    started_bytes = held_at_start_bytes()
    simulation = Simulation(backbone_name, method, classes)
    peak_bytes = {}
    for size in micro_batches:
        step = simulation.step(batch, size, image_px)
        peak_bytes[size] = predicted_peak_bytes(step, adapts_features=simulation.adapts_features)
    gradient_bytes = sum(p.nbytes for p in simulation.model.domain_parameters())
    # Of the last step, the largest: it compiles the most.
    return Forecast(
        peak_bytes=peak_bytes,
        resting_bytes=peak_bytes[size] - step.peak_bytes + gradient_bytes,
        domain_bytes=sum(tensor.nbytes for tensor in simulation.model.domain_state().values()),
        shape_bytes=FORWARD_KERNEL_BYTES * (step.forward_kernels + step.backward_kernels),
        process_bytes=started_bytes + simulation.weight_bytes + ANSWER_BYTES,
    )


def answer_order(order: dict[str, Any]) -> dict[str, Any]:
    """Return the forecast that was ordered, or why there is none."""
    try:
        method = build_method(order.pop("method"), order.pop("hyperparameters"))
        return dataclasses.asdict(predict(method=method, **order))
    except AddaptError as error:
        return {"refused": str(error)}


if __name__ == "__main__":
    print(json.dumps(answer_order(json.load(sys.stdin))))
