"""What a domain's gates save on this machine, and what they cost in accuracy."""

import statistics
from dataclasses import dataclass
from pathlib import Path

from addapt.engines.base import Recogniser
from addapt.gates import require_gates, ungated_px
from addapt.images import ImageSet, load_images, scan_classes
from addapt.learning import Learner, OnProgress, Progress
from addapt.learning.evaluation import EVALUATION_BATCH, evaluate
from addapt.learning.gating import Batches, time_in_turns

TIMED_IMAGES = 16  # one by one, and as one batch
EXTREMES = 3


@dataclass(frozen=True)
class GatesRow:
    """One gated domain, with its gates and with all of them open.

    Args:
        compute_target: the share of the multiply-adds that was asked for.
        images: how many it was judged on.
        ungated_accuracy: with static resolution that is of another size than was learned.
        multiply_adds: of an image, on average.
        ms_batch1: milliseconds for one image: the mean of the images' medians.
        ms_batch16: milliseconds for a batch of 16, or fewer if there are: the median.
        open_shares: see `GateReport`.
        fewest_open: the images of the least multiply-adds, if they differ.
        most_open: those of the most.
    """

    backbone: str
    domain: str
    unit: str
    kind: str
    compute_target: float
    images: int
    accuracy: float
    ungated_accuracy: float
    multiply_adds: float
    ungated_multiply_adds: float
    ms_batch1: float | None
    ungated_ms_batch1: float | None
    ms_batch16: float | None
    ungated_ms_batch16: float | None
    open_shares: tuple[tuple[float, ...], ...]
    fewest_open: tuple[Path, ...]
    most_open: tuple[Path, ...]


def bench_gates(
    learner: Learner,
    domain: str,
    folder: Path,
    rounds: int,
    *,
    gates_only: bool = False,
    on_progress: OnProgress = lambda progress: None,
) -> GatesRow:
    """Judge a domain on class folders with its gates and without, and time both in turns.

    The images in `folder` should be others than were learned from. Each is timed `rounds` times,
    or not at all with `gates_only`.

    Raises:
        OptionError: the domain has no gates.
        DataError, DomainError, UnknownNameError: as `Learner.evaluate`.
    """
    info, model = learner.load(domain)
    config = require_gates(domain, info)
    samples = scan_classes(folder, info.classes).samples
    gated, ungated = (
        load_images(samples, px, info.interpolation, value_range=info.value_range)[0]
        for px in (info.image_px, ungated_px(info))
    )
    scores, _ = evaluate(model, gated)
    costs = _costs(model, gated, on_progress)
    shares = model.open_shares(Batches(gated, EVALUATION_BATCH))
    model.use_gates(False)
    ungated_scores, _ = evaluate(model, ungated)
    whole = model.multiply_adds(ungated.batch([0]))
    times = (None,) * 4 if gates_only else time_gates(model, gated, ungated, rounds)
    model.use_gates(True)
    ranked = sorted(range(len(costs)), key=costs.__getitem__)
    differ = bool(costs) and costs[ranked[0]] < costs[ranked[-1]]
    return GatesRow(
        backbone=info.backbone,
        domain=domain,
        unit=config.unit,
        kind=config.kind,
        compute_target=config.compute,
        images=len(gated),
        accuracy=scores.accuracy,
        ungated_accuracy=ungated_scores.accuracy,
        multiply_adds=statistics.mean(costs),
        ungated_multiply_adds=whole,
        ms_batch1=times[0],
        ungated_ms_batch1=times[1],
        ms_batch16=times[2],
        ungated_ms_batch16=times[3],
        open_shares=shares,
        fewest_open=_paths(gated, ranked[:EXTREMES] if differ else []),
        most_open=_paths(gated, ranked[: -EXTREMES - 1 : -1] if differ else []),
    )


def _paths(images: ImageSet, places: list[int]) -> tuple[Path, ...]:
    return tuple(images.samples[place].path for place in places)


def _costs(model: Recogniser, images: ImageSet, on_progress: OnProgress) -> list[int]:
    """Count the multiply-adds of each image by itself."""
    costs = []
    for place in range(len(images)):
        on_progress(Progress("counting", place, len(images)))
        costs.append(model.multiply_adds(images.batch([place])))
    on_progress(Progress("counting", len(images), len(images)))
    return costs


def time_gates(
    model: Recogniser, gated: ImageSet, ungated: ImageSet, rounds: int
) -> tuple[float, float, float, float]:
    """Time images one by one and then as a batch of 16, with gates and without, in turns.

    The images are the same, of the size for gates and of that without. Returned are milliseconds
    of an image with gates and without, and of the batch likewise; the gates are left on.
    """
    count = min(TIMED_IMAGES, len(gated))
    small, full = (some.batch(range(count)) for some in (gated, ungated))
    singly = [time_in_turns(model, small[i : i + 1], full[i : i + 1], rounds) for i in range(count)]
    of_one = (statistics.mean(column) for column in zip(*singly, strict=True))
    seconds = (*of_one, *time_in_turns(model, small, full, rounds))
    return seconds[0] * 1e3, seconds[1] * 1e3, seconds[2] * 1e3, seconds[3] * 1e3
