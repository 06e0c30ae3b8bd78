"""Measure training steps side by side: each contender in its own process, taking turns."""

import dataclasses
import statistics
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from addapt.bench.contender import (
    FASTEST,
    REFERENCE,
    Contender,
    Workload,
    contenders_of,
    fastest_candidates,
)
from addapt.bench.remote import Worker, WorkerError
from addapt.learning import OnProgress, Progress

WARM_UP_ROUNDS = 1
TRIAL_ROUNDS = 2
TORCH_WORKER = "addapt.engines.torch.bench.worker"
WORKERS = {"onnx": "addapt.bench.worker", "torch": TORCH_WORKER, "eager": TORCH_WORKER}


@dataclass(frozen=True)
class StepRow:
    """What one contender takes; None where it could not be measured, or not compared.

    Args:
        method, engine, setting, micro_batch, packed: as in `Contender`.
        peak_bytes: the most memory during the first three steps above the loaded model,
            which has answered one image.
        peak_how: how that was measured.
        process_bytes: the most the whole process ever held: Python, the engine, reading the
            weights, and the steps.
        kept_bytes: what autograd keeps for backward.
        step_s: median of the rounds.
        step_s_spread: from the first to the third quartile of the rounds.
        ratio_process: fine-tuning's whole process divided by this one.
        ratio_memory: likewise of the peak above the loaded model.
        ratio_kept: likewise of the kept bytes.
        ratio_time: likewise of seconds, in each round; the median of that.
        error: why something is missing.
    """

    method: str
    engine: str
    setting: str
    micro_batch: int | None
    packed: bool
    peak_bytes: int | None
    peak_how: str | None
    process_bytes: int | None
    kept_bytes: int | None
    step_s: float | None
    step_s_spread: float | None
    ratio_process: float | None
    ratio_memory: float | None
    ratio_kept: float | None
    ratio_time: float | None
    error: str | None


class RemoteStep:
    """A contender in a process of its own, loaded when this is made.

    Raises:
        WorkerError: it died on the way.
        AddaptError: it refused, for example weights that do not fit.
    """

    def __init__(self, contender: Contender, workload: Workload, *, debug: bool = False) -> None:
        self._worker = Worker(
            WORKERS[contender.engine],
            workload.threads,
            workload.allocator,
            debug=debug,
            contender=dataclasses.asdict(contender),
            workload=dataclasses.asdict(workload),
        )
        self.at_once: int = self._worker.loaded["at_once"]

    def measure_memory(self, micro_batch: int) -> dict[str, Any]:
        """Return the memory of the first steps; to be asked once, before any time."""
        return self._worker.ask(do="measure", micro_batch=micro_batch)

    def time(self, micro_batch: int) -> float:
        """Return the seconds of one step."""
        seconds: float = self._worker.ask(do="time", micro_batch=micro_batch)["step_s"]
        return seconds

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._worker.close()


@dataclass
class Entry:
    """A contender on its way through the comparison."""

    contender: Contender
    worker: RemoteStep | None = None
    memory: dict[str, Any] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    error: str | None = None


def run_comparison(
    methods: Iterable[str],
    workload: Workload,
    rounds: int,
    *,
    on_progress: OnProgress = lambda progress: None,
    debug: bool = False,
) -> list[StepRow]:
    """Measure the memory of every contender, one after another, then their time in turns.

    `check_comparison` has checked the methods' names; `rounds` steps of each are timed. With
    `debug` the workers print to standard error.

    Raises:
        AddaptError: the backbone cannot be loaded.
    """
    contenders = [c for name in dict.fromkeys(methods) for c in contenders_of(name, workload)]
    entries = [Entry(contender) for contender in contenders]
    _choose_fastest(entries, workload, on_progress, debug)
    with ExitStack() as stack:
        for i, entry in enumerate(entries):
            on_progress(Progress("memory", i, len(entries)))
            _try(entry, partial(_measure_memory, entry, workload, stack, debug))
        on_progress(Progress("memory", len(entries), len(entries)))
        total = (WARM_UP_ROUNDS + rounds) * len(entries)
        for i in range(total):
            on_progress(Progress("time", i, total))
            turn, place = divmod(i, len(entries))
            _try(entries[place], partial(_time, entries[place], turn))
        on_progress(Progress("time", total, total))
    return rows_of(entries)


def rows_of(entries: list[Entry]) -> list[StepRow]:
    """Summarise, and compare each with fine-tuning."""
    references = (e for e in entries if e.contender.method == REFERENCE and e.error is None)
    reference = next(references, None)
    return [_row(entry, reference) for entry in entries]


def _choose_fastest(
    entries: list[Entry], workload: Workload, on_progress: OnProgress, debug: bool
) -> None:
    """Find by trying which micro-batch is the fastest, with packed weights or plain ones."""
    open_entries = [e for e in entries if e.contender.setting == FASTEST]
    for i, entry in enumerate(open_entries):
        on_progress(Progress("choosing", i, len(open_entries)))
        _try(entry, partial(_try_candidates, entry, workload, debug))
    if open_entries:
        on_progress(Progress("choosing", len(open_entries), len(open_entries)))


def _try_candidates(entry: Entry, workload: Workload, debug: bool) -> None:
    best: dict[tuple[int, bool], float] = {}
    with ExitStack() as stack:
        workers = {}
        for packed in (False, True):
            contender = replace(entry.contender, packed=packed)
            workers[packed] = RemoteStep(contender, workload, debug=debug)
            stack.callback(workers[packed].close)
        for turn in range(WARM_UP_ROUNDS + TRIAL_ROUNDS):
            for micro_batch in fastest_candidates(workload.batch):
                for packed, worker in workers.items():
                    seconds = worker.time(micro_batch)
                    if turn >= WARM_UP_ROUNDS:
                        choice = micro_batch, packed
                        # What other programs take makes a step slower, never faster.
                        best[choice] = min(seconds, best.get(choice, seconds))
    micro_batch, packed = min(best, key=best.__getitem__)
    entry.contender = replace(entry.contender, micro_batch=micro_batch, packed=packed)


def _measure_memory(entry: Entry, workload: Workload, stack: ExitStack, debug: bool) -> None:
    entry.worker = RemoteStep(entry.contender, workload, debug=debug)
    stack.callback(entry.worker.close)
    if entry.contender.micro_batch is None:
        entry.contender = replace(entry.contender, micro_batch=entry.worker.at_once)
    assert entry.contender.micro_batch is not None
    entry.memory = entry.worker.measure_memory(entry.contender.micro_batch)


def _time(entry: Entry, turn: int) -> None:
    assert entry.worker is not None and entry.contender.micro_batch is not None
    seconds = entry.worker.time(entry.contender.micro_batch)
    if turn >= WARM_UP_ROUNDS:
        entry.seconds.append(seconds)


def _try(entry: Entry, work: Callable[[], None]) -> None:
    """Do the work unless the contender failed before; if it fails now, note why."""
    if entry.error is not None:
        return
    try:
        work()
    except WorkerError as error:
        entry.error = str(error)
        if entry.worker is not None:
            entry.worker.close()


def _row(entry: Entry, reference: Entry | None) -> StepRow:
    memory = entry.memory
    timed = entry.error is None
    return StepRow(
        **dataclasses.asdict(entry.contender),
        peak_bytes=memory.get("peak_bytes"),
        peak_how=memory.get("peak_how"),
        process_bytes=memory.get("process_bytes"),
        kept_bytes=memory.get("kept_bytes"),
        step_s=round(statistics.median(entry.seconds), 5) if timed else None,
        step_s_spread=round(_spread(entry.seconds), 5) if timed else None,
        ratio_process=_memory_ratio("process_bytes", entry, reference),
        ratio_memory=_memory_ratio("peak_bytes", entry, reference),
        ratio_kept=_memory_ratio("kept_bytes", entry, reference),
        ratio_time=_time_ratio(entry, reference) if timed else None,
        error=entry.error,
    )


def _spread(seconds: list[float]) -> float:
    if len(seconds) < 2:
        return 0.0
    first, _, third = statistics.quantiles(seconds, n=4, method="inclusive")
    return third - first


def _memory_ratio(name: str, entry: Entry, reference: Entry | None) -> float | None:
    own, others = entry.memory.get(name), reference and reference.memory.get(name)
    return round(others / own, 3) if own and others else None


def _time_ratio(entry: Entry, reference: Entry | None) -> float | None:
    if reference is None:
        return None
    # By round: whatever slows the machine down for a while then slows both.
    ratios = (theirs / own for theirs, own in zip(reference.seconds, entry.seconds, strict=True))
    return round(statistics.median(ratios), 3)
