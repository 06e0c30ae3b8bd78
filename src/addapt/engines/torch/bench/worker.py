"""One contender in a process of its own: takes orders from standard input, a JSON line each.

The first line holds the contender and the workload. Each answer is a JSON line, too. Nothing
is computed between two orders, and the process ends with its input.
"""

import json
import os
import sys
import time
from functools import partial
from typing import Any

import torch

from addapt._errors import AddaptError
from addapt.bench.contender import BIAS_CHECKPOINTING, Contender, Workload
from addapt.engines.torch.adamw import AdamW, ParameterGroup
from addapt.engines.torch.arrays import backbone_input
from addapt.engines.torch.backbones import load_backbone
from addapt.engines.torch.freezing import pack_weights
from addapt.engines.torch.memory import KeptTensors, add_gradient
from addapt.engines.torch.methods import AdaptedModel, attach
from addapt.memory import measure_process_peak, process_peak_bytes
from addapt.memory.allocator import Allocator, configure_allocator
from addapt.methods import build_method

CLASSES = 10
LR = 1e-4
MEASURED_STEPS = 3  # gradients and the optimiser's state are made in the first


class BenchedStep:
    """A contender's model, ready to make steps on random images.

    It is loaded, and has answered one image, when this is made.
    """

    def __init__(self, contender: Contender, workload: Workload) -> None:
        torch.manual_seed(0)
        self.contender = contender
        self.device = workload.device
        self.cuda = workload.device.startswith("cuda")
        self.model = _build_model(contender, workload)
        side = workload.image_px
        # Bytes, as `learn` keeps decoded images; each part is normalised when its turn comes.
        self.images = torch.randint(0, 256, (workload.batch, side, side, 3), dtype=torch.uint8)
        self.labels = torch.randint(0, CLASSES, (workload.batch,))
        self.optimiser = AdamW([ParameterGroup(list(self.model.domain_parameters()), LR)])
        self.model.eval()
        with torch.no_grad():
            self.model(backbone_input(self.model.backbone, self.images[:1].numpy()))
        self.model.train()
        if contender.packed:
            # Done by the first step: packed copies count as memory above the loaded model.
            pack_weights(self.model)

    def step(self, micro_batch: int) -> None:
        """Make one optimiser step from the whole batch, in parts, as `learn` does."""
        self.optimiser.zero_grad()
        parts = (torch.split(whole, micro_batch) for whole in (self.images, self.labels))
        for images, labels in zip(*parts, strict=True):
            add_gradient(
                self.model,
                partial(backbone_input, self.model.backbone, images.numpy()),
                labels.to(self.device),
                images=len(self.images),
            )
        self.optimiser.step()

    def time(self, micro_batch: int) -> float:
        """Return the seconds of one step."""
        self._synchronise()
        started = time.perf_counter()
        self.step(micro_batch)
        self._synchronise()
        return time.perf_counter() - started

    def measure_memory(self) -> dict[str, Any]:
        """Measure the first steps, then, in one more, what autograd keeps."""
        before = process_peak_bytes()
        peak, how = self._peak_of_first_steps()
        after = process_peak_bytes()
        kept = None
        # What checkpointing keeps is hidden from the meter, which would tell a number too low.
        if self.contender.method != BIAS_CHECKPOINTING:
            with KeptTensors(self.model) as tensors:
                self.step(self.contender.micro_batch)
            kept = tensors.peak_bytes
        process = None if before is None or after is None else max(before, after)
        return {"peak_bytes": peak, "peak_how": how, "process_bytes": process, "kept_bytes": kept}

    def _peak_of_first_steps(self) -> tuple[int | None, str]:
        def steps() -> None:
            for _ in range(MEASURED_STEPS):
                self.step(self.contender.micro_batch)

        if not self.cuda:
            measured = measure_process_peak(steps)
            return measured.peak_bytes, measured.how
        torch.cuda.reset_peak_memory_stats()
        start = torch.cuda.memory_allocated()
        steps()
        return torch.cuda.max_memory_allocated() - start, "tensors on the CUDA device"

    def _synchronise(self) -> None:
        if self.cuda:
            torch.cuda.synchronize()


def _build_model(contender: Contender, workload: Workload) -> AdaptedModel:
    eager = contender.engine == "eager"
    backbone = load_backbone(
        workload.backbone, workload.weights, device=workload.device, plain=eager
    )
    if eager:  # the product's process does not need what the rivals are made of
        from addapt.engines.torch.bench.eager import attach_eager

        return attach_eager(backbone, contender.method, CLASSES)
    return attach(backbone, build_method(contender.method), CLASSES)


def main() -> None:
    """Answer orders until there are no more, or until something fails."""
    # What a library prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(**fields: Any) -> None:
        answers.write(json.dumps(fields) + "\n")
        answers.flush()

    try:
        first = json.loads(sys.stdin.readline())
        contender, workload = Contender(**first["contender"]), Workload(**first["workload"])
        torch.set_num_threads(workload.threads)
        if contender.engine == "addapt" and workload.allocator == Allocator.lean:
            configure_allocator()  # as `learn` does within a budget
        benched = BenchedStep(contender, workload)
        answer(loaded=True)
        while line := sys.stdin.readline():
            order = json.loads(line)
            if order["do"] == "time":
                answer(step_s=benched.time(order["micro_batch"]))
            else:
                answer(**benched.measure_memory())
    except AddaptError as error:
        answer(refused=str(error))
    except Exception as error:  # whatever it is, the others go on
        answer(error=f"{type(error).__name__}: {error}".split("\n", 1)[0])
        raise


if __name__ == "__main__":
    main()
