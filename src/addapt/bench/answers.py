"""An engine that recognises, in a process of its own; see `addapt.bench.orders`."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from addapt.bench.orders import Answer, Order, serve
from addapt.engines import open_engine
from addapt.memory import process_peak_bytes
from addapt.methods import DA3

CLASSES = 10


@dataclass(frozen=True)
class Recogniser:
    """What answers: an engine with a domain of DA3, given images of `image_px`.

    `weights` are as `open_engine` takes them.
    """

    engine: str
    backbone: str
    weights: str | None
    image_px: int
    threads: int


def start(first: Order) -> tuple[Answer, Callable[[Order], Answer]]:
    """Load what the order names; it then times the recognising of so many images at once."""
    asked = Recogniser(**first["recogniser"])
    engine = open_engine(asked.backbone, asked.weights, engine=asked.engine)
    engine.threads = asked.threads
    model = engine.new_model(DA3(), CLASSES, seed=0)
    generator, side = np.random.default_rng(0), asked.image_px

    def answer(order: Order) -> Answer:
        images = generator.integers(0, 256, (order["images"], side, side, 3), np.uint8)
        started = time.perf_counter()
        model.logits(images)
        return {
            "seconds": time.perf_counter() - started,
            "process_bytes": process_peak_bytes(),
        }

    return {}, answer


if __name__ == "__main__":
    serve(start)
