"""From a domain's name to a learner with its backbone, and what is said of its gates."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from addapt.cli import options
from addapt.cli.output import say, warn

if TYPE_CHECKING:
    from addapt.domains import DomainInfo
    from addapt.engines.base import Engine
    from addapt.gates import GateConfig
    from addapt.learning import Learner
    from addapt.learning.extending import Start


def open_learner(
    store: Path,
    domain: str,
    weights: Path | None,
    engine: str | None,
    device: str,
    threads: int | None,
) -> "tuple[DomainInfo, Learner]":
    """Return what is known about a domain, and a learner with its backbone.

    Raises:
        UnknownNameError: there is no such domain, which is told before an engine is loaded.
        DomainError: it is damaged, or no name makes its backbone.
        WeightsError: the weights are not to be had.
        MissingPackageError: PyTorch is needed for it, and not installed.
    """
    from addapt.domains import Store

    kept = Store(store)
    info = kept.info(domain)
    from addapt.engines import open_engine
    from addapt.learning import Learner
    from addapt.learning.loading import asked_by

    method, gates = asked_by(info, kept.path(domain))
    _require_named(domain, info.backbone)
    opened = open_engine(
        info.backbone, weights, engine=engine, method=method, gates=gates, device=device
    )
    if threads is not None:
        opened.threads = threads
    return info, Learner(opened, store)


def open_store_learner(
    store: Path,
    weights: Path | None,
    engine: str | None,
    device: str,
    threads: int | None,
) -> "Learner":
    """Return a learner with the backbone on which most domains of a store were learned.

    Raises:
        DomainError: there is no domain, or none that can be read and whose backbone a name makes.
        WeightsError: the weights are not to be had.
    """
    from addapt._errors import DomainError
    from addapt.backbones import is_named
    from addapt.domains import Store

    kept, learned_on = Store(store), dict[str, list[str]]()
    for name in kept.names():
        with contextlib.suppress(DomainError):  # told about when the domains are chosen among
            learned_on.setdefault(kept.info(name).backbone, []).append(name)
    from addapt.learning import Learner

    usual = options.DEFAULT_BACKBONE
    if learned_on:
        usual = max(learned_on, key=lambda each: (is_named(each), len(learned_on[each])))
        _require_named(learned_on[usual][0], usual)
    if engine is None and device == "cpu":
        learner = Learner(usual, store, weights=weights)
    else:
        from addapt.engines import open_engine

        learner = Learner(open_engine(usual, weights, engine=engine, device=device), store)
    if threads is not None:
        learner.engine.threads = threads
    return learner


def open_to_learn(
    backbone: str | None,
    weights: Path | None,
    start: "Start | None",
    *,
    engine: str | None,
    method: str,
    gates: "GateConfig | None",
    device: str,
) -> "Engine":
    """Return the engine for what is asked, or for the domain that is to be extended.

    Raises:
        AddaptError: there is none.
    """
    from addapt.engines import open_engine
    from addapt.learning.loading import asked_by

    named = options.DEFAULT_BACKBONE
    if start is not None:
        named = start.info.backbone
        _require_named(start.name, named)
        method, gates = asked_by(start.info, start.path)
    return open_engine(
        backbone or named, weights, engine=engine, method=method, gates=gates, device=device
    )


def _require_named(domain: str, backbone: str) -> None:
    """Refuse a domain whose backbone no name makes, such as a network made in Python.

    Raises:
        DomainError: that is so.
    """
    from addapt._errors import DomainError
    from addapt.backbones import is_named

    if not is_named(backbone):
        raise DomainError(
            f"The domain {domain!r} was learned on {backbone!r}, a network made in Python, which "
            "no command can make. Use it there: learner = "
            f"addapt.Learner(addapt.Backbone.of(network, name={backbone!r}), STORE), then "
            f"learner.predict(images, {domain!r}); learner.export makes one model of both."
        )


def say_gates(info: "DomainInfo", *, used: bool, wanted: bool | None) -> None:
    """Say whether the domain's gates were used, and why not; nothing where there are none."""
    if not info.gates:
        return
    if used:
        compute = info.gates["report"]["compute"]
        say(f"Gates of {info.gates['unit']} were used: {compute:.0%} of the multiply-adds.")
    elif wanted is None:
        say("Gates were not used: on this device they are not faster.")
    else:
        say("Gates were not used, as you asked.")


def warn_unsigned(domain: str, info: "DomainInfo") -> None:
    """Warn that images of other things are not refused, where that is so."""
    if not info.signature:
        warn(
            [
                f"The domain {domain!r} has no signature, so no image is refused: `addapt index "
                f"{domain} FOLDER` gives it one."
            ]
        )
