"""The domains of a store that an image may belong to: those with a signature for this backbone."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from addapt._errors import AddaptError, DomainError
from addapt.domains import (
    LOOK_PX,
    DomainInfo,
    Planes,
    Signature,
    Store,
    check_backbone,
    open_domain,
    read_stamp,
)
from addapt.engines.base import Engine

Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class KnownDomain:
    """What has to be known of a domain before it is asked."""

    name: str
    info: DomainInfo
    signature: Signature | None


@dataclass(frozen=True)
class KnownDomains:
    """The domains to choose among, with the planes of their looks in the same order.

    `left_out` says of each of the others why it takes part by its name alone.
    """

    domains: tuple[KnownDomain, ...]
    planes: Planes | None
    left_out: tuple[str, ...]


class SignatureReader:
    """Reads the signatures of a store's domains, and each file only once.

    A file that has changed is read anew.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read: dict[str, tuple[Stamp, KnownDomain]] = {}
        self._last: tuple[tuple[KnownDomain, ...], Planes] | None = None

    def domain(self, name: str) -> KnownDomain:
        """Return what has to be known of one domain.

        Raises:
            UnknownNameError: there is no such domain.
            DomainError: its file is damaged.
        """
        return self._domain(name, self._store.require(name))

    def _domain(self, name: str, path: Path) -> KnownDomain:
        kept = self._read.get(name)
        if kept is None or kept[0] != read_stamp(path):
            with open_domain(path) as file:
                kept = file.stamp, KnownDomain(name, file.info, file.signature())
            self._read[name] = kept
        return kept[1]

    def among(self, name: str | None, engine: Engine, tell: Callable[[str], None]) -> KnownDomains:
        """Return the domain of this name or, without one, all that can be chosen.

        `tell` is told why others cannot. Errors are as of `domain` and `all`.
        """
        if name is not None:
            return KnownDomains((self.domain(name),), None, ())
        known = self.all(engine)
        for message in known.left_out:
            tell(message)
        return known

    def all(self, engine: Engine) -> KnownDomains:
        """Return all domains that can be chosen.

        A single domain needs no signature, as there is nothing to choose.

        Raises:
            DomainError: there is none.
        """
        names = self._store.names()
        if not names:
            raise DomainError(
                f"There is no domain in {self._store.folder} yet: learn one, or name the right "
                "folder with `store`."
            )
        known, left_out, others = list[KnownDomain](), list[str](), list[KnownDomain]()
        for name in names:
            try:
                path = self._store.path(name)
                domain = self._domain(name, path)
                _check_network(domain, engine, path)
            except AddaptError as error:  # one damaged file must not hide the others
                left_out.append(str(error))
                continue
            (known if _is_comparable(domain) else others).append(domain)
        if len(names) == 1 and others:
            return KnownDomains(tuple(others), None, ())
        left_out += [
            f"The domain {domain.name!r} has no signature, and is only asked by its name: give it "
            f"one with `addapt index {domain.name} FOLDER`, or learn it anew."
            for domain in others
        ]
        if not known:
            raise DomainError(" ".join(["No domain can be chosen by itself.", *left_out[:3]]))
        return KnownDomains(tuple(known), self._planes(tuple(known)), tuple(left_out))

    def _planes(self, known: tuple[KnownDomain, ...]) -> Planes:
        same = self._last is not None and len(self._last[0]) == len(known)
        if not (same and all(a is b for a, b in zip(self._last[0], known, strict=True))):  # type: ignore[index]
            looks = [domain.signature.look for domain in known if domain.signature is not None]
            self._last = known, Planes(looks)
        assert self._last is not None
        return self._last[1]


def _check_network(domain: KnownDomain, engine: Engine, path: Path) -> None:
    """Refuse a domain whose look cannot be compared with what this engine's network sees."""
    own, other = engine.backbone, domain.info.backbone
    if other != own.name:
        raise DomainError(
            f"The domain {domain.name!r} was learned on {other}, not on {own.name}, and is only "
            "asked by its name, as what different networks see cannot be compared."
        )
    check_backbone(domain.info, own.name, own.weights_sha256, path)


def _is_comparable(domain: KnownDomain) -> bool:
    return domain.signature is not None and domain.signature.look_px == LOOK_PX
