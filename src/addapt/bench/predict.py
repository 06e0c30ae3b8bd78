"""Measure recognising, engine beside engine: images in memory, and a command from a cold shell."""

import dataclasses
import statistics
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from addapt._errors import AddaptError
from addapt.bench.answers import Recogniser
from addapt.bench.remote import Worker
from addapt.bench.shell import Ran, run_addapt
from addapt.engines.abilities import RUNTIMES
from addapt.engines.choosing import choose_engine
from addapt.learning import OnProgress, Progress
from addapt.memory.allocator import Allocator

AT_ONCE = (1, 16)
WARM_UP_ROUNDS = 2
COLD_PX = 224
PHOTO_PX = (640, 480)
SLOWEST = "torch"  # what the others are compared with


@dataclass(frozen=True)
class PredictRow:
    """What an engine takes to recognise images that are in memory.

    Args:
        images: how many together.
        ms: milliseconds for all of them, the median of the rounds.
        ms_min: the least, which other programs disturb the least.
        process_bytes: the most that the process held until then.
        ratio_time: PyTorch's milliseconds divided by these, in each round; the median of that.
    """

    engine: str
    image_px: int
    images: int
    ms: float
    ms_min: float
    process_bytes: int | None
    ratio_time: float | None


@dataclass(frozen=True)
class ColdRow:
    """What `addapt predict one.jpg` takes in a new process: medians, and the least of the time."""

    engine: str
    wall_s: float
    wall_s_min: float
    cpu_s: float | None
    process_bytes: int | None


@dataclass
class _Entry:
    recogniser: Recogniser
    worker: Worker
    process_bytes: int | None = None
    seconds: list[float] = field(default_factory=list)


def engines_for(backbone: str) -> list[str]:
    """Return the engines that are installed and have a backbone.

    Raises:
        UnknownNameError: there is no such backbone.
        MissingPackageError: it needs PyTorch, which is not installed.
    """
    usual = choose_engine(backbone=backbone)
    here = [engine for engine, package in RUNTIMES.items() if find_spec(package) is not None]
    return here if usual == "onnx" else [usual]


def run_warm(
    recognisers: Sequence[Recogniser],
    rounds: int,
    *,
    on_progress: OnProgress = lambda progress: None,
    debug: bool = False,
) -> list[PredictRow]:
    """Time all, each in a process of its own, in turns: first one image, then several together.

    Raises:
        AddaptError: a backbone cannot be loaded.
        WorkerError: a process died.
    """
    rows = []
    with ExitStack() as stack:
        entries = []
        for place, recogniser in enumerate(recognisers):
            on_progress(Progress("loading", place, len(recognisers)))
            worker = Worker(
                "addapt.bench.answers",
                recogniser.threads,
                Allocator.system.value,  # as `predict` has it
                debug=debug,
                recogniser=dataclasses.asdict(recogniser),
            )
            stack.callback(worker.close)
            entries.append(_Entry(recogniser, worker))
        on_progress(Progress("loading", len(recognisers), len(recognisers)))
        total = len(AT_ONCE) * (WARM_UP_ROUNDS + rounds)
        for part, images in enumerate(AT_ONCE):
            for entry in entries:
                entry.seconds = []
            for turn in range(WARM_UP_ROUNDS + rounds):
                on_progress(Progress("time", part * (WARM_UP_ROUNDS + rounds) + turn, total))
                for entry in entries:
                    answer = entry.worker.ask(images=images)
                    entry.process_bytes = answer["process_bytes"]
                    if turn >= WARM_UP_ROUNDS:
                        entry.seconds.append(answer["seconds"])
            rows += [_row(entry, images, entries) for entry in entries]
        on_progress(Progress("time", total, total))
    return rows


def _row(entry: _Entry, images: int, entries: Sequence[_Entry]) -> PredictRow:
    own = entry.recogniser
    ratio = None
    for other in entries:
        if (other.recogniser.engine, other.recogniser.image_px) == (SLOWEST, own.image_px):
            pairs = zip(other.seconds, entry.seconds, strict=True)
            ratio = round(statistics.median(theirs / ours for theirs, ours in pairs), 3)
    return PredictRow(
        engine=own.engine,
        image_px=own.image_px,
        images=images,
        ms=round(1e3 * statistics.median(entry.seconds), 3),
        ms_min=round(1e3 * min(entry.seconds), 3),
        process_bytes=entry.process_bytes,
        ratio_time=ratio,
    )


def run_cold(
    engines: Sequence[str],
    backbone: str,
    weights: str | None,
    threads: int,
    rounds: int,
    *,
    on_progress: OnProgress = lambda progress: None,
) -> list[ColdRow]:
    """Recognise one JPEG file by the command, in turns; the first of each is not counted.

    The domain is learned from a few random images: what it says does not matter.

    Raises:
        AddaptError: the command fails.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photo = _draw_photos(folder)
        shared: dict[str, object] = {"store": folder / "store", "threads": threads}
        if weights not in (None, "random"):  # these are what a backbone has by itself
            shared["weights"] = weights
        learning = {"backbone": backbone, "epochs": 1, "image-px": COLD_PX}
        _succeed(run_addapt(["learn", "x", str(folder / "images")], {**shared, **learning}))
        found: dict[str, list[Ran]] = {engine: [] for engine in engines}
        for turn in range(rounds + 1):
            on_progress(Progress("cold", turn, rounds + 1))
            for engine in engines:
                asked = {**shared, "domain": "x", "engine": engine, "json": True}
                ran = _succeed(run_addapt(["predict", str(photo)], asked))
                if turn:
                    found[engine].append(ran)
        on_progress(Progress("cold", rounds + 1, rounds + 1))
    return [_cold_row(engine, runs) for engine, runs in found.items()]


def _draw_photos(folder: Path) -> Path:
    """Write two classes of random images, and return one more."""
    generator = np.random.default_rng(0)

    def draw(path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = generator.integers(0, 256, (12, 16, 3), np.uint8)
        Image.fromarray(coarse).resize(PHOTO_PX, Image.Resampling.BICUBIC).save(path)
        return path

    for label in ("a", "b"):
        for number in range(4):
            draw(folder / "images" / label / f"{number}.jpg")
    return draw(folder / "one.jpg")


def _succeed(ran: Ran) -> Ran:
    if ran.exit_code:
        lines = ran.err.strip().splitlines() or [f"exit code {ran.exit_code}"]
        raise AddaptError(f"A command that was measured failed: {lines[-1]}")
    return ran


def _cold_row(engine: str, runs: Sequence[Ran]) -> ColdRow:
    walls = [ran.wall_s for ran in runs]
    cpus = [ran.cpu_s for ran in runs if ran.cpu_s is not None]
    peaks = [ran.process_bytes for ran in runs if ran.process_bytes is not None]
    return ColdRow(
        engine=engine,
        wall_s=round(statistics.median(walls), 3),
        wall_s_min=round(min(walls), 3),
        cpu_s=round(statistics.median(cpus), 3) if cpus else None,
        process_bytes=max(peaks, default=None),
    )
