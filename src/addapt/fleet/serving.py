"""A server of a fleet, as people start it: from what was asked for to what happens."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from addapt._errors import DomainError, FleetError, OptionError
from addapt._hosts import EVERYWHERE, LOOPBACK, is_loopback
from addapt.domains import Store
from addapt.fleet.clock import check_clock
from addapt.fleet.identity import (
    AUTHORITY,
    CERTIFICATE,
    DEVICES,
    SERVER_KEY,
    known_devices,
    make_certificate,
)
from addapt.fleet.keeping import is_unfinished, load_progress
from addapt.fleet.link import Link, check_free
from addapt.fleet.news import News
from addapt.fleet.plan import check_engine, check_rounds
from addapt.fleet.privacy import Privacy
from addapt.fleet.processes import server
from addapt.learning.lesson import check_image_px

STRATEGIES = ("fedavg", "fedprox", "fedadam")


@dataclass(frozen=True)
class Serving:
    """What is asked of a server.

    `keys` is the folder of its certificate and of its devices' keys; `insecure` does without. Of
    differential privacy there is none where its two numbers are 0.
    """

    name: str
    store: Path
    rounds: int
    min_devices: int
    strategy: str
    host: str
    port: int
    keys: Path
    insecure: bool
    restart: bool
    backbone: str
    weights: Path | None
    method: str
    image_px: int | None
    seed: int
    clipping_norm: float
    noise_multiplier: float
    round_timeout_s: float

    @property
    def secure(self) -> bool:
        """Whether it has a certificate and knows its devices; on this machine alone it need not."""
        return not self.insecure and not is_loopback(self.host)

    def check(self) -> None:
        """Refuse what makes no sense, before anything is started.

        Raises:
            OptionError, DomainError, FleetError: that is so.
        """
        check_clock()
        check_rounds(self.rounds)
        check_engine(self.backbone, self.method)
        if self.image_px is not None:
            check_image_px(self.image_px)
        if self.min_devices < 1:
            raise OptionError(f"`min_devices` is {self.min_devices}: give at least 1.")
        if self.strategy not in STRATEGIES:
            raise OptionError(f"`strategy` is {self.strategy!r}: give {', '.join(STRATEGIES)}.")
        Privacy.of(self.clipping_norm, self.noise_multiplier, self.strategy, self.min_devices)
        if not 0 < self.round_timeout_s < math.inf:
            raise OptionError(
                f"`round_timeout_s` is {self.round_timeout_s:g}: give a time above 0, such as 600."
            )
        store = Store(self.store)
        unfinished = is_unfinished(store, self.name)
        if store.exists(self.name) and not self.restart and not unfinished:
            raise DomainError(
                f"There is a domain {self.name!r} in {self.store} already. Choose another name, or "
                "learn it anew with `restart=True`; the old one stays until the new one is ready."
            )
        store.refuse_case_twin(self.name)
        before = None if self.restart else load_progress(store, self.name)
        if before is not None and before.plan.rounds != self.rounds:
            raise OptionError(
                f"`rounds` is {self.rounds}, but the unfinished fleet {self.name!r} was begun with "
                f"{before.plan.rounds}: give that, or begin anew with `restart=True`."
            )
        check_free(self.host, self.port)
        if self.secure:
            make_certificate(self.keys, self.own_host)
            if len(known_devices(self.keys)) < self.min_devices:
                raise FleetError(
                    f"{len(known_devices(self.keys))} devices are known in {self.keys / DEVICES}, "
                    f"and {self.min_devices} are needed. On each device, `addapt fleet key "
                    "device.key` makes a key: copy its device.key.pub into that folder, each under "
                    f"a name of its own, and {self.keys / AUTHORITY} to the device. In a network "
                    "that you trust wholly, `insecure=True` does without."
                )

    @property
    def own_host(self) -> str:
        """By which address this machine reaches the server."""
        return LOOPBACK if self.host in EVERYWHERE else self.host

    @property
    def link(self) -> Link:
        """How this machine reaches the server."""
        authority = (self.keys / AUTHORITY).absolute()
        return Link(self.own_host, self.port, authority if self.secure else None)

    @property
    def tls(self) -> Sequence[str]:
        """What Flower's server has to be told."""
        if not self.secure:
            return ["--insecure"]
        return [
            *("--ssl-ca-certfile", str(self.keys / AUTHORITY)),
            *("--ssl-certfile", str(self.keys / CERTIFICATE)),
            *("--ssl-keyfile", str(self.keys / SERVER_KEY)),
            "--enable-supernode-auth",
        ]


def serve(asked: Serving) -> Iterator[News]:
    """Lead a fleet, and yield what happens until there is a domain.

    Raises:
        FleetError: it could not go on; what was learned is kept, and the same goes on later.
    """
    asked.check()
    devices = known_devices(asked.keys) if asked.secure else []
    with server(asked.link, asked.host, asked.tls, devices) as home:
        home.run(
            {
                "name": asked.name,
                "rounds": asked.rounds,
                "min-devices": asked.min_devices,
                "strategy": asked.strategy,
                "store": str(asked.store.absolute()),
                "restart": asked.restart,
                "backbone": asked.backbone,
                "weights": "" if asked.weights is None else str(asked.weights.absolute()),
                "method": asked.method,
                "image-px": asked.image_px or 0,
                "seed": asked.seed,
                "clipping-norm": asked.clipping_norm,
                "noise-multiplier": asked.noise_multiplier,
                "round-timeout": asked.round_timeout_s,
            }
        )
        for fact in home.news.follow(home.require_running):
            if "refused" in fact:
                raise FleetError(str(fact["refused"]))
            yield fact
            if "file" in fact:
                return
