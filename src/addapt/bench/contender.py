"""What is compared: methods, each in its settings, on one and the same work."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from addapt._errors import OptionError, UnknownNameError
from addapt.engines.abilities import ABILITIES
from addapt.engines.installed import require_torch
from addapt.learning.lesson import MAX_IMAGE_PX, MIN_IMAGE_PX
from addapt.memory.allocator import Allocator
from addapt.methods import METHODS, Piggyback

REFERENCE = "finetune"
BIAS_CHECKPOINTING = "bias+checkpointing"
# What the paper compares with, as its authors run it.
PUBLISHED = ("finetune", "series_adapter", "parallel_adapter", "piggyback")
# What users of plain PyTorch run today, by the names that are asked for here: the product's own
# methods of these names are other contenders.
EAGER_METHODS = {f"eager:{method}": method for method in ("bias", BIAS_CHECKPOINTING, *PUBLISHED)}

AS_PUBLISHED = "as published"  # the setting of these
DEVICE = "device"  # the setting in which the engine without PyTorch learns by itself
WHOLE_BATCH = "whole batch"
FASTEST = "fastest"
FASTEST_CANDIDATES = (2, 4, 8)  # and the whole batch

Engine = Literal["onnx", "torch", "eager"]


@dataclass(frozen=True)
class Contender:
    """One row of the table.

    Args:
        method: one of the product's, or, with the engine "eager", also of `EAGER_METHODS`' values.
        engine: one of the product's, or "eager" for plain PyTorch.
        micro_batch: images in memory at once; None for as many as the engine takes by itself.
        packed: whether the frozen weights are kept in oneDNN's order.
    """

    method: str
    engine: Engine
    setting: str
    micro_batch: int | None
    packed: bool

    @property
    def batch_statistics(self) -> bool:
        """Whether its batch norms take their statistics from the batch."""
        if self.setting == AS_PUBLISHED:
            return self.method != Piggyback.name
        return self.method in METHODS and METHODS[self.method].batch_statistics


@dataclass(frozen=True)
class Workload:
    """What each contender has to do: steps on `batch` images of `image_px`.

    `weights` and `device` are as `open_engine` takes them. `allocator` is a
    value of `Allocator`, the same for all.
    """

    backbone: str
    weights: str | None
    batch: int
    image_px: int
    threads: int
    device: str
    allocator: str = Allocator.lean.value


def bench_methods() -> tuple[str, ...]:
    """Return all names that can be compared."""
    return (*METHODS, *EAGER_METHODS)


def contenders_of(name: str, workload: Workload) -> list[Contender]:
    """Return a method's rows, or the one that "method:setting" names.

    Which setting is the fastest must still be found by trying.
    """
    if name in EAGER_METHODS:
        rival = EAGER_METHODS[name]
        setting = AS_PUBLISHED if rival in PUBLISHED else WHOLE_BATCH
        return [Contender(rival, "eager", setting, workload.batch, packed=False)]
    method, _, setting = name.partition(":")
    rows = _settings_of(method, workload)
    return [row for row in rows if row.setting == setting] if setting else rows


def _settings_of(method: str, workload: Workload) -> list[Contender]:
    trainer, batch = METHODS[method], workload.batch
    engine: Engine = "eager" if trainer.plain else "torch"
    whole = Contender(method, engine, WHOLE_BATCH, batch, packed=False)
    if trainer.batch_statistics:
        return [whole]
    rows = []
    lack = ABILITIES["onnx"].lack(backbone=workload.backbone, method=method, device=workload.device)
    if lack is None:
        rows.append(Contender(method, "onnx", DEVICE, None, packed=False))
    default = min(trainer.recipe.micro_batch or batch, batch)
    return [
        *rows,
        replace(whole, setting="smallest", micro_batch=1),
        replace(whole, setting="default", micro_batch=default),
        whole if trainer.plain else replace(whole, setting=FASTEST),
    ]


def fastest_candidates(batch: int) -> list[int]:
    """Return the micro-batches to try, in order."""
    return sorted({batch, *(k for k in FASTEST_CANDIDATES if k < batch)})


def check_comparison(methods: Iterable[str], workload: Workload, rounds: int) -> None:
    """Refuse what makes no sense before any process is started.

    Raises:
        UnknownNameError: there is no such method.
        OptionError: a number is out of range, or no method is given.
        MissingPackageError: a contender runs on PyTorch, which is not installed.
    """
    names = list(methods)
    if not names:
        raise OptionError(f"`methods` is empty: give some of {', '.join(bench_methods())}.")
    if workload.batch < 1:
        raise OptionError(f"`batch` is {workload.batch}: give at least 1.")
    if not MIN_IMAGE_PX <= workload.image_px <= MAX_IMAGE_PX:
        raise OptionError(
            f"`image_px` is {workload.image_px}: give {MIN_IMAGE_PX} to {MAX_IMAGE_PX}."
        )
    if rounds < 1:
        raise OptionError(f"`rounds` is {rounds}: give at least 1.")
    for name in names:
        method = name if name in EAGER_METHODS else name.partition(":")[0]
        if method not in bench_methods():
            raise UnknownNameError("method", method, bench_methods())
        rows = contenders_of(name, workload)
        if workload.batch < 2 and any(row.batch_statistics for row in rows):
            raise OptionError(
                f"Method {method!r} needs statistics of several images: give `batch` of at "
                f"least 2, or `methods` without {method}."
            )
        if not rows:
            known = (f"{method}:{row.setting}" for row in contenders_of(method, workload))
            raise OptionError(f"There is no {name!r}: give {method}, or one of {', '.join(known)}.")
        if any(row.engine != "onnx" for row in rows):
            require_torch(f"{name!r} of `methods`, while da3:{DEVICE} needs none")
