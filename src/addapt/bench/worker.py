"""A contender's steps, through the door of its engine; a worker for engines that need no more."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import numpy as np

from addapt.bench.contender import Contender, Workload
from addapt.bench.orders import Answer, Order, serve
from addapt.engines import open_engine
from addapt.engines.base import Engine, Images, Labels, Logits, StepSettings
from addapt.memory import process_peak_bytes
from addapt.memory.allocator import Allocator, configure_allocator
from addapt.methods import build_method

CLASSES = 10
LR = 1e-4
MEASURED_STEPS = 3  # gradients and the optimiser's state are made in the first


class Steps(Protocol):
    """What is benched: an engine's `Model`, or what makes steps as one does."""

    def prepare(self, settings: StepSettings) -> None:
        """Get ready for steps."""

    def step(self, images: Images, labels: Labels, *, batch: int) -> float:
        """Add the gradient of these images to those gathered; return their share of the loss."""

    def update(self, share: float) -> None:
        """Change what is trained by the gradients gathered, at a share of the rate."""

    def logits(self, images: Images) -> Logits:
        """Recognise."""


class BenchedStep:
    """A contender's model, ready to make steps on random images.

    It counts as loaded, since it answers one image when this is made.

    Args:
        engine: whose network it is.
        model: that was not prepared to learn yet.
        workload: what a step has to do.
        before_steps: done when it is loaded.
        kept: returns what autograd keeps for backward in a step, if that is known.
        synchronise: waits until all is computed.
    """

    def __init__(
        self,
        engine: Engine,
        model: Steps,
        workload: Workload,
        *,
        before_steps: Callable[[], object] = lambda: None,
        kept: Callable[[Callable[[], None]], int | None] = lambda step: None,
        synchronise: Callable[[], None] = lambda: None,
    ) -> None:
        self.model = model
        self._engine, self._kept, self._synchronise = engine, kept, synchronise
        generator, side = np.random.default_rng(0), workload.image_px
        self._images = generator.integers(0, 256, (workload.batch, side, side, 3), np.uint8)
        self._labels = generator.integers(0, CLASSES, workload.batch)
        self.at_once = engine.at_once(side, workload.batch)
        self._prepared = False
        model.logits(self._images[:1])
        before_steps()

    def step(self, micro_batch: int) -> None:
        """Make one optimiser step from the whole batch, in parts, as `learn` does."""
        if not self._prepared:
            self.model.prepare(StepSettings(LR, LR))
            self._prepared = True
        for start in range(0, len(self._images), micro_batch):
            part = slice(start, start + micro_batch)
            self.model.step(self._images[part], self._labels[part], batch=len(self._images))
        self.model.update(1.0)

    def time(self, micro_batch: int) -> float:
        """Return the seconds of one step."""
        self._synchronise()
        started = time.perf_counter()
        self.step(micro_batch)
        self._synchronise()
        return time.perf_counter() - started

    def measure_memory(self, micro_batch: int) -> dict[str, Any]:
        """Measure the first steps, then, in one more, what autograd keeps."""

        def steps() -> None:
            for _ in range(MEASURED_STEPS):
                self.step(micro_batch)

        before = process_peak_bytes()
        peak = self._engine.measure_peak(steps)
        after = process_peak_bytes()
        return {
            "peak_bytes": peak.peak_bytes,
            "peak_how": peak.how,
            "process_bytes": None if before is None or after is None else max(before, after),
            "kept_bytes": self._kept(partial(self.step, micro_batch)),
        }


def open_benched(contender: Contender, workload: Workload) -> BenchedStep:
    """Load a contender by its engine's name."""
    engine = open_engine(
        workload.backbone, workload.weights, engine=contender.engine, device=workload.device
    )
    engine.threads = workload.threads
    model = engine.new_model(build_method(contender.method), CLASSES, seed=0)
    return BenchedStep(engine, model, workload)


def serve_steps(make: Callable[[Contender, Workload], BenchedStep]) -> None:
    """Answer orders for steps of the contender that the first order names."""

    def start(first: Order) -> tuple[Answer, Callable[[Order], Answer]]:
        contender, workload = Contender(**first["contender"]), Workload(**first["workload"])
        if contender.engine != "eager" and workload.allocator == Allocator.lean:
            configure_allocator()  # as `learn` does within a budget
        benched = make(contender, workload)

        def answer(order: Order) -> Answer:
            if order["do"] == "time":
                return {"step_s": benched.time(order["micro_batch"])}
            return benched.measure_memory(order["micro_batch"])

        return {"at_once": benched.at_once}, answer

    serve(start)


if __name__ == "__main__":
    serve_steps(open_benched)
