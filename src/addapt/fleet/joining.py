"""A device of a fleet, as people start it: from what was asked for to what happens."""

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from addapt._errors import DomainError, FleetError, OptionError
from addapt._hosts import is_loopback
from addapt.domains import Store, check_name
from addapt.fleet.clock import check_clock
from addapt.fleet.link import Link
from addapt.fleet.news import News, tell
from addapt.fleet.plan import check_engine
from addapt.fleet.processes import FlowerHome, ProgramEnded, Value, node
from addapt.images import scan_folder
from addapt.learning.place import refuse_store_inside

REJOIN_S, LOOK_EVERY_S = 2.0, 10.0


@dataclass(frozen=True)
class Joining:
    """What is asked of a device.

    `certificate` is that of the server's authority, `key` the device's own, by whose name people
    know the device; `insecure` does without. With `fetch` what was learned is kept in `store`, with
    `personal` the device's own version of it if that is better.
    """

    address: str
    name: str
    images: Path
    store: Path
    fetch: bool
    personal: bool
    restart: bool
    budget_bytes: int | None
    threads: int
    backbone: str
    weights: Path | None
    certificate: Path | None
    key: Path | None
    insecure: bool

    @property
    def link(self) -> Link:
        """Where the server is.

        Raises:
            OptionError: the address is none.
        """
        host, _, port = self.address.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not (host and port.isdigit() and 0 < int(port) < 65536):
            raise OptionError(f"The server's address is {self.address!r}: give HOST:PORT.")
        return Link(host, int(port), self.certificate)

    def check(self) -> None:
        """Refuse what makes no sense, before anything is started.

        Raises:
            OptionError, DataError, DomainError, FleetError: that is so.
        """
        check_clock()
        link = self.link
        check_name(self.name)
        check_engine(self.backbone)
        if self.certificate is None and not self.insecure and not is_loopback(link.host):
            raise OptionError(
                f"Nothing proves that {link.address} is your server. Copy the ca.crt that it has "
                "made to here, and give `certificate` and `key`; in a network that you trust "
                "wholly, `insecure=True` does without."
            )
        for what in (self.certificate, self.key):
            if what is not None and not what.is_file():
                raise OptionError(f"There is no file {what}: `addapt fleet key FILE` makes a key.")
        scan_folder(self.images, fewest_classes=1)  # others have more
        refuse_store_inside(self.store, self.images)
        store = Store(self.store)
        if self.personal and not self.fetch:
            raise OptionError("`personal` is about what is fetched: give `fetch`, too.")
        if self.fetch and store.exists(self.name) and not self.restart:
            raise DomainError(
                f"There is a domain {self.name!r} in {self.store} already: give another store, "
                "or `restart=True` to have it replaced in the end."
            )


class ServerWatch:
    """Tells when a server comes and goes, which Flower's node keeps to itself."""

    def __init__(self, link: Link, home: FlowerHome) -> None:
        self._link, self._home = link, home
        self._is_there, self._next = False, 0.0

    def look(self) -> None:
        """Look whether the node runs, and from time to time whether the server is there.

        Raises:
            ProgramEnded: the node has ended.
        """
        self._home.require_running()
        if time.monotonic() < self._next:
            return
        is_there = self._link.answers()
        if is_there != self._is_there:
            self._is_there = is_there
            tell(self._home.news.path, server_is_there=is_there)
        self._next = time.monotonic() + LOOK_EVERY_S


def join(asked: Joining) -> Iterator[News]:
    """Take part in a fleet, and yield what happens until it is over.

    Raises:
        FleetError: it could not go on.
    """
    asked.check()
    settings: dict[str, Value] = {
        "images": str(asked.images.absolute()),
        "name": asked.name,
        "device": socket.gethostname() if asked.key is None else asked.key.stem,
        "store": str(asked.store.absolute()),
        "fetch": asked.fetch,
        "personal": asked.personal,
        "budget-bytes": asked.budget_bytes or 0,
        "threads": asked.threads,
        "backbone": asked.backbone,
        "weights": "" if asked.weights is None else str(asked.weights.absolute()),
    }
    peak_bytes = 0
    while True:
        with node(asked.link, asked.key, settings) as home:
            watch = ServerWatch(asked.link, home)
            try:
                for fact in home.news.follow(watch.look):
                    if "refused" in fact:
                        home.wait_for_sending()  # or the server waits for a node that is gone
                        raise FleetError(str(fact["refused"]))
                    peak_bytes = max(peak_bytes, fact.get("process_peak_bytes") or 0)
                    if fact.get("over"):
                        home.wait_for_sending()
                    yield fact | {"process_peak_bytes": peak_bytes or None}
                    if fact.get("over"):
                        return
            except ProgramEnded:
                # A server that was started anew knows no node of before, and that ends.
                if not home.was_known():
                    raise
        yield {"forgotten": True}
        time.sleep(REJOIN_S)
