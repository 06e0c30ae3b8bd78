"""The gates of a domain as the product sees them: their size, their report, whether they pay."""

import statistics
import time
from collections.abc import Iterator, Sequence

import numpy as np

from addapt._cache import recall, remember, this_machine
from addapt._errors import DataError, OptionError
from addapt.domains import DomainInfo
from addapt.engines.base import Engine, Images, Model, Recogniser
from addapt.gates import (
    SMALLEST_PX,
    STEP_PX,
    GateReport,
    gates_from,
    require_gates,
    scaled_px,
    share_words,
    ungated_px,
)
from addapt.images import Given, ImageSet, decode_given
from addapt.learning.evaluation import evaluate
from addapt.learning.scores import Scores
from addapt.learning.two_looks import TwoLooks

MEASURED_IMAGES = 64
TIMED_IMAGES = 4
ROUNDS = 3


def static_px(engine: Engine, px: int, compute: float) -> int:
    """Return the largest side at which an image costs at most this share of one of `px`.

    Small images cost more than their share of the area, as maps are rounded up.

    Raises:
        OptionError: even the smallest costs more.
    """
    if compute == 1:
        return px
    whole = engine.multiply_adds(px)
    for side in range(scaled_px(px, compute), SMALLEST_PX - 1, -STEP_PX):
        if engine.multiply_adds(side) <= compute * whole:
            return side
    asked, least = share_words(compute, engine.multiply_adds(SMALLEST_PX) / whole)
    raise OptionError(
        f"Images of {px} px cannot be made so small that {asked} of the compute is left: those of "
        f"{SMALLEST_PX} px cost {least}. Give more, or begin with larger ones (`image_px`)."
    )


class Batches:
    """Images, few at once, that can be gone through again and again."""

    def __init__(self, images: ImageSet, batch: int) -> None:
        self.images, self.batch = images, batch

    def __iter__(self) -> Iterator[Images]:
        for start in range(0, len(self.images), self.batch):
            yield self.images.batch(range(start, min(start + self.batch, len(self.images))))


def measuring_batches(images: ImageSet, batch: int) -> Batches:
    """Return some of the images, evenly taken, for gates to be measured on."""
    step = max(1, len(images) // MEASURED_IMAGES)
    chosen = list(range(0, len(images), step))[:MEASURED_IMAGES]
    return Batches(images.select(chosen), batch)


def finish_gates(
    model: Model, val: ImageSet, sizes: tuple[int, int], batch: int
) -> tuple[GateReport, Scores]:
    """Settle the gates of a trained model on the images held out, and say what they do to these.

    A model without gates was trained on smaller images instead. `sizes` are the side of these
    images, and what it would be without gates; `batch` images are in memory at once.
    """
    gates = model.gates
    if gates is None:
        costs = [model.multiply_adds(np.zeros((1, px, px, 3), np.uint8)) for px in sizes]
        scores, _ = evaluate(model, val, batch)
        return GateReport(costs[0] / costs[1], scores.accuracy, None, ()), scores
    batches = Batches(val, batch)
    gates.settle(batches)
    scores, _ = evaluate(model, val, batch)
    gated = sum(model.multiply_adds(images) for images in batches)
    shares = gates.open_shares(batches)
    gates.active = False
    ungated_scores, _ = evaluate(model, val, batch)
    ungated = sum(model.multiply_adds(images) for images in batches)
    gates.active = True
    accuracies = scores.accuracy, ungated_scores.accuracy
    return GateReport(gated / ungated, *accuracies, shares, gates.rescues), scores


def time_in_turns(
    model: Recogniser, gated: Images, ungated: Images, rounds: int = ROUNDS
) -> tuple[float, float]:
    """Return the median seconds of a batch with gates and without, which take turns.

    The same images are given in the size for gates, and in that without. Gates are left on.
    """
    seconds: tuple[list[float], list[float]] = [], []
    for round_ in range(rounds + 1):
        for on, images, kept in zip((True, False), (gated, ungated), seconds, strict=True):
            model.use_gates(on)
            started = time.perf_counter()
            model.logits(images)
            if round_:  # the first makes what is kept
                kept.append(time.perf_counter() - started)
    model.use_gates(True)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def decide(
    engine: Engine,
    domain: str,
    info: DomainInfo,
    model: Recogniser,
    images: Sequence[Given],
    wanted: bool | None,
) -> bool:
    """Switch a model's gates on or off, as is wanted or as is faster; return which.

    What is faster belongs to the machine and the domain: it is tried once and remembered.

    The first images are tried with.

    Raises:
        OptionError: gates are wanted, but there are none.
    """
    if wanted:
        require_gates(domain, info)
    if gates_from(info) is None:
        return False
    on = wanted
    if on is None:
        question = {
            "domain": info.to_json(),
            "engine": engine.name,
            "versions": engine.versions,
            "device": engine.device,
            "threads": engine.threads,
            **this_machine(),
        }
        answer = recall("gates", question)
        if answer is None:
            answer = {"speed_up": _speed_up(info, model, images, engine.threads)}
            if answer["speed_up"] is not None:
                remember("gates", question, answer)
        speed_up = answer.get("speed_up")
        on = not isinstance(speed_up, float) or speed_up > 1
    model.use_gates(on)
    return on


def _speed_up(
    info: DomainInfo, model: Recogniser, images: Sequence[Given], threads: int
) -> float | None:
    """Time some images, one by one; return how many times faster they are with gates.

    Of two looks each is timed by itself: how often there is a second is known better from the
    images held out than from so few. None where no image can be read, which is told about later.
    """
    again = 0.0
    if isinstance(model, TwoLooks):
        model, again = model.once(), model.looks.second_share
    few = images[:TIMED_IMAGES]
    gated, ungated = (
        decode_given(few, px, info.interpolation, threads=threads, value_range=info.value_range)
        for px in (info.image_px, ungated_px(info))
    )
    times = [
        time_in_turns(model, small[None], large[None])
        for small, large in zip(gated, ungated, strict=True)
        if not isinstance(small, DataError) and not isinstance(large, DataError)
    ]
    if not times:
        return None
    gated_s, ungated_s = map(sum, zip(*times, strict=True))
    return ungated_s / (gated_s + again * ungated_s)
