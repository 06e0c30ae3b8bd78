"""Thousands of damaged files, read in a process that may crash, hang or ask for too much memory."""

import contextlib
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import seed as with_seed
from hypothesis import strategies as st

from addapt.learning import Controls, Learner, LearningStopped, Progress
from addapt.learning.checkpoint import STATE_FILE
from addapt.methods import build_method
from tests.damage import Damage, Original, damages
from tests.judges import LOADED, REFUSED, DomainJudge, StateJudge
from tests.soak.lessons import BATCH, CLASSES, IMAGE_PX

LIMIT_MS = 1000.0
HANG_S = 30.0  # without any answer
START_S = 300.0
STATE_SHARE = 4  # one damaged state for so many damaged domains
MOST_TROUBLES = 20
PROCESS = Path("/proc/self")

Judge = Callable[[Damage], str]


@dataclass
class DamageTally:
    """What became of damaged files."""

    files: int = 0
    refused: int = 0
    loaded: int = 0
    crashes: int = 0
    hangs: int = 0
    slowest_ms: float = 0.0
    extra_bytes: int = 0  # the most that reading one of them took
    troubles: list[str] = field(default_factory=list)


def fuzz(folder: Path, domain: bytes, images: Path, count: int, seed: int) -> DamageTally:
    """Damage so many copies of a domain's file, and some of a run's state.

    The domain was learned from `images` with the standard method on the standard backbone.
    """
    tally = DamageTally()
    _read_all(tally, count, seed, _domain_judge, (folder / "domains", domain))
    _read_all(tally, count // STATE_SHARE, seed, _state_judge, (folder / "states", images))
    return tally


def _read_all(
    tally: DamageTally,
    count: int,
    seed: int,
    make_judge: Callable[..., tuple[Judge, Original]],
    words: tuple[object, ...],
) -> None:
    """Have a process read `count` damaged files, and another one go on when it dies."""
    context = multiprocessing.get_context("spawn")
    while count > 0 and len(tally.troubles) < MOST_TROUBLES:
        here, there = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(there, count, seed, make_judge, words))
        process.start()
        there.close()
        patience_s = START_S
        try:
            while count > 0:
                if not here.poll(patience_s):
                    tally.hangs += 1
                    tally.troubles.append(f"hangs: no answer for {patience_s:.0f} s, seed {seed}")
                    break
                outcome, ms, how, extra_bytes = here.recv()
                patience_s = HANG_S
                count -= 1
                tally.extra_bytes = max(tally.extra_bytes, extra_bytes)
                _count(tally, outcome, ms, how)
        except EOFError:
            tally.crashes += 1
            tally.troubles.append(f"crashes: the reader died with {count} files to go, seed {seed}")
        process.kill()
        process.join()
        count, seed = count - 1, seed + 1  # what it died of is not met again


def _count(tally: DamageTally, outcome: str, ms: float, how: str) -> None:
    tally.files += 1
    tally.slowest_ms = max(tally.slowest_ms, ms)
    if outcome == REFUSED:
        tally.refused += 1
    elif outcome == LOADED:
        tally.loaded += 1
    else:
        tally.crashes += 1
        tally.troubles.append(f"crashes: {how}: {outcome}")
    if ms > LIMIT_MS:
        tally.hangs += 1
        tally.troubles.append(f"hangs: {how} took {ms:.0f} ms")


def _work(
    answers: Connection,
    count: int,
    seed: int,
    make_judge: Callable[..., tuple[Judge, Original]],
    words: tuple[object, ...],
) -> None:
    judge, original = make_judge(*words)

    @with_seed(seed)
    @settings(
        max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(data=st.data())
    def read(data: st.DataObject) -> None:
        damage = data.draw(damages(original))
        before_bytes = _new_peak()
        outcome, ms = _timed(judge, damage)
        extra_bytes = _status_bytes("VmHWM") - before_bytes
        if ms > LIMIT_MS:  # perhaps others had the processor
            outcome, again_ms = _timed(judge, damage)
            ms = min(ms, again_ms)
        answers.send((outcome, ms, str(damage), extra_bytes))

    while True:  # one round may find fewer different ones; the parent knows when it is enough
        read()
        seed += 1
        read = with_seed(seed)(read)


def _new_peak() -> int:
    """Let Linux forget the most that this process held; return what it holds now."""
    with contextlib.suppress(OSError):
        PROCESS.joinpath("clear_refs").write_text("5", encoding="ascii")
    return _status_bytes("VmRSS")


def _status_bytes(name: str) -> int:
    """Read an amount from Linux's description of this process; 0 elsewhere."""
    try:
        lines = PROCESS.joinpath("status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def _timed(judge: Judge, damage: Damage) -> tuple[str, float]:
    started = time.perf_counter()
    try:
        outcome = judge(damage)
    except (Exception, SystemExit) as error:
        outcome = f"{type(error).__name__}: {error}"[:500]
    return outcome, (time.perf_counter() - started) * 1e3


def _domain_judge(folder: Path, content: bytes) -> tuple[Judge, Original]:
    original = Original(content)
    return DomainJudge(Learner(store=folder), original), original


def _state_judge(folder: Path, images: Path) -> tuple[Judge, Original]:
    """Learn for a few epochs and a step, and take the state that is left."""
    learner = Learner(store=folder)
    position: list[Progress] = []
    try:
        learner.learn(
            "half",
            images,
            epochs=9,
            batch=BATCH,
            image_px=IMAGE_PX,
            controls=Controls(position.append, lambda: position[-1].done > position[-1].total // 3),
        )
    except LearningStopped:
        pass
    original = Original((learner.store.state_path("half") / STATE_FILE).read_bytes())
    method = build_method("da3").for_backbone(len(learner.engine.backbone.blocks))
    model = learner.engine.new_model(method, len(CLASSES), seed=0)
    judge = StateJudge(folder / "damaged", original, model, position[-1].total // 9)
    return judge, original
