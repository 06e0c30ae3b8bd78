"""The gates of a domain that is learned: measured before, settled and reported after."""

import dataclasses
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from addapt._errors import DomainError, OptionError
from addapt.domains import DomainInfo
from addapt.domains.info import IMAGE_PX_LIMIT
from addapt.engines.torch.gates import RESOLUTION, BlockGates, Gates, TwoLooks, count_multiply_adds
from addapt.engines.torch.methods import AdaptedModel, gates_of, settle_gates, switch_gates
from addapt.images import ImageSet
from addapt.learning.loop import evaluate, to_input
from addapt.learning.prepare import Lesson

MEASURED_IMAGES = 64
TIMED_IMAGES = 4
ROUNDS = 3
FULL_PX = "full_px"
REPORT = "report"


@dataclass(frozen=True)
class GateReport:
    """What gates do to images that were not learned from.

    Args:
        compute: multiply-adds as a share of those with all gates open.
        accuracy: with gates.
        ungated_accuracy: with all gates open; None for static resolution, which knows no other.
        open_shares: for each block, how many of the images get each of its widths, from the least
            to the whole; or how many get one look and how many two. Empty for static resolution.
        rescues: how often in training almost all gates were closed, or open, and were set anew.
    """

    compute: float
    accuracy: float
    ungated_accuracy: float | None
    open_shares: tuple[tuple[float, ...], ...]
    rescues: int = 0


class Batches:
    """Normalised images, few at once, that can be gone through again and again."""

    def __init__(self, model: AdaptedModel, images: ImageSet, batch: int) -> None:
        self.model, self.images, self.batch = model, images, batch

    def __iter__(self) -> Iterator[Tensor]:
        for indices in torch.split(torch.arange(len(self.images)), self.batch):
            yield to_input(self.model, self.images.batch(indices))


def measuring_batches(model: AdaptedModel, images: ImageSet, batch: int) -> Batches:
    """Return some of the images, evenly taken, for gates to be measured on."""
    step = max(1, len(images) // MEASURED_IMAGES)
    chosen = list(range(0, len(images), step))[:MEASURED_IMAGES]
    return Batches(model, images.select(chosen), batch)


def finish_gates(model: AdaptedModel, lesson: Lesson, batch: int) -> GateReport:
    """Settle the gates of a trained model on the images held out, and say what they do to these.

    Args:
        model: has gates, or was trained on smaller images instead.
        lesson: what it has learned.
        batch: images in memory at once.
    """
    batches = Batches(model, lesson.val, batch)
    settle_gates(model, batches)
    accuracy, _ = evaluate(model, lesson.val, batch)
    if gates_of(model) is None:
        costs = [_cost_of_size(model, px) for px in (lesson.image_px, lesson.full_px)]
        return GateReport(costs[0] / costs[1], accuracy, None, ())
    gated = sum(count_multiply_adds(model, x) for x in batches)
    shares = open_shares(model, batches)
    switch_gates(model, on=False)
    ungated_accuracy, _ = evaluate(model, lesson.val, batch)
    ungated = sum(count_multiply_adds(model, x) for x in batches)
    switch_gates(model, on=True)
    gates = gates_of(model)
    rescues = int(gates.rescues) if isinstance(gates, BlockGates) else 0
    return GateReport(gated / ungated, accuracy, ungated_accuracy, shares, rescues)


def _cost_of_size(model: AdaptedModel, px: int) -> int:
    return count_multiply_adds(model, to_input(model, torch.zeros(1, 3, px, px)))


@torch.no_grad()
def open_shares(model: AdaptedModel, batches: Batches) -> tuple[tuple[float, ...], ...]:
    """Return which share of the images gets which width of each block; see `GateReport`."""
    gates = gates_of(model)
    rows: dict[int, Tensor] = {}
    sizes: list[int] = []
    for x in batches:
        chosen: Sequence[Tensor | None]
        if isinstance(gates, BlockGates):
            with gates.noting_widths() as chosen:
                model(x)
            sizes = [len(gate.widths) for gate in gates]
        elif isinstance(gates, TwoLooks):
            model(x)
            chosen, sizes = [gates.second], [2]
        else:
            return ()
        for place, (widths, size) in enumerate(zip(chosen, sizes, strict=True)):
            all_whole = torch.full((len(x),), size - 1)
            counts = torch.bincount(
                (all_whole if widths is None else widths.cpu()).int(), minlength=size
            )
            rows[place] = rows.get(place, torch.zeros(size)) + counts
    return tuple(tuple((row / row.sum()).tolist()) for row in rows.values())


def gates_fields(gates: Gates | None, full_px: int, report: GateReport | None) -> dict[str, Any]:
    """Return what a domain's file says about its gates; nothing without gates."""
    if gates is None or report is None:
        return {}
    shares = [list(row) for row in report.open_shares]
    said = dataclasses.asdict(report) | {"open_shares": shares}
    return dataclasses.asdict(gates) | {FULL_PX: full_px, REPORT: said}


def gates_from(info: DomainInfo) -> Gates | None:
    """Return the gates of a domain, as its file says; None without any.

    Raises:
        AddaptError: the file says what makes no sense.
    """
    if not info.gates:
        return None
    fields = {field.name: info.gates.get(field.name) for field in dataclasses.fields(Gates)}
    types = {"unit": str, "dynamic": bool, "compute": float}
    full_px, report = info.gates.get(FULL_PX), info.gates.get(REPORT)
    if (
        any(not isinstance(fields[name], kind) for name, kind in types.items())
        or not (type(full_px) is int and 1 <= full_px <= IMAGE_PX_LIMIT)
        or not (isinstance(report, dict) and isinstance(report.get("compute"), float))
    ):
        raise DomainError(
            f"Its gates are {str(info.gates)[:200]}, which makes no sense. Restore the file from a "
            "copy or learn the domain again."
        )
    return Gates(**fields)  # type: ignore[arg-type]


def require_gates(domain: str, info: DomainInfo) -> Gates:
    """Return the gates of a domain that must have some.

    Raises:
        OptionError: it has none.
    """
    gates = gates_from(info)
    if gates is None:
        raise OptionError(f"The domain {domain!r} has no gates: learn it with --gates.")
    return gates


def ungated_px(info: DomainInfo) -> int:
    """Return the size of images with which a domain's gates are all open."""
    gates = gates_from(info)
    if gates is not None and gates.unit == RESOLUTION and not gates.dynamic:
        return int(info.gates[FULL_PX])
    return info.image_px


def speed_up(model: AdaptedModel, gated: ImageSet, ungated: ImageSet) -> float:
    """Time some images, one by one, in turns; return how many times faster they are with gates.

    Args:
        model: in evaluation mode; left with its gates on.
        gated: images of the size for gates.
        ungated: the same ones of the size without.
    """
    times = []
    for place in range(min(TIMED_IMAGES, len(gated))):
        small, full = (to_input(model, some.batch([place])) for some in (gated, ungated))
        times.append(time_in_turns(model, small, full))
    return sum(without for _, without in times) / sum(with_gates for with_gates, _ in times)


@torch.no_grad()
def time_in_turns(
    model: AdaptedModel, gated: Tensor, ungated: Tensor, rounds: int = ROUNDS
) -> tuple[float, float]:
    """Return the median seconds of a batch with gates and without, which take turns.

    Args:
        model: in evaluation mode; left with its gates on.
        gated: normalised images of the size for gates.
        ungated: the same ones of the size without.
        rounds: how often each is timed.
    """
    seconds: tuple[list[float], list[float]] = [], []
    for round_ in range(rounds + 1):
        for on, x, kept in zip((True, False), (gated, ungated), seconds, strict=True):
            switch_gates(model, on)
            started = time.perf_counter()
            model(x).cpu()  # which waits for a GPU
            if round_:  # the first makes what is kept
                kept.append(time.perf_counter() - started)
    switch_gates(model, on=True)
    return statistics.median(seconds[0]), statistics.median(seconds[1])
