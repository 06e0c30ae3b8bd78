"""Whether all in a store is as it was written and can be used, and what can be done if not."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from addapt._disk import disk_reason
from addapt._errors import (
    AddaptError,
    DamagedError,
    DomainError,
    TrainingError,
    UnknownNameError,
)
from addapt.domains import DomainFile, Store, check_name, open_domain, writing
from addapt.domains.layout import DAMAGED_SUFFIX, LEARNING_FOLDER, SUFFIX, leftovers, may_be_name
from addapt.domains.lock import is_being_written
from addapt.engines.torch.backbones import BACKBONES, Backbone, load_backbone
from addapt.learning.loading import check_declared, hollow_backbone
from addapt.learning.run_file import STATE_FILE, load_run

GOOD, DAMAGED, UNUSABLE = "good", "damaged", "unusable"
LEFT_OVER, REMOVED, MOVED = "left over", "removed", "moved aside"
# What holds more tensors than its method declares is looked into up to here, and not further.
LOOK_INTO_BYTES = 500_000_000


@dataclass(frozen=True)
class Finding:
    """One thing in a store: a domain, an unfinished learning or a temporary file.

    `verdict` is one of the words above, `remark` says what is wrong, what can be done, or what
    could not be confirmed.
    """

    kind: str
    name: str
    path: Path
    verdict: str
    remark: str = ""

    @property
    def is_wrong(self) -> bool:
        """Whether something was lost or cannot be used."""
        return self.verdict in (DAMAGED, UNUSABLE, MOVED)


class StoreCheck:
    """Checks things of one store; what it knows of a backbone serves all its domains."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._backbones: dict[str, tuple[Backbone, str | None]] = {}

    def findings(self, names: Sequence[str] = ()) -> Iterator[Finding]:
        """Yield what is found out about everything, or about the domains called `names`.

        Nothing is changed, and nobody who writes is disturbed.

        Raises:
            UnknownNameError: there is nothing of one of the names.
            DomainError: the store cannot be read.
        """
        folder = self.store.folder
        self.store.names()  # which says what is wrong if the store cannot be listed
        try:
            files = sorted(path for path in folder.glob(f"[!.]*{SUFFIX}") if path.is_file())
            states = sorted(folder.glob(f"{LEARNING_FOLDER}/*/{STATE_FILE}"))
            temporary = list(leftovers(folder))
        except OSError as error:
            raise DomainError(
                f"Store {folder} could not be read because {disk_reason(error)}"
            ) from error
        runs = [path.parent for path in states if may_be_name(path.parent.name)]
        found = [("domain", path.name.removesuffix(SUFFIX), path) for path in files]
        found += [("unfinished learning", path.name, path) for path in runs]
        found += [("temporary file", name, path) for name, path in temporary]
        known = {name for _, name, _ in found}
        for name in names:
            if name not in known:
                raise UnknownNameError("domain", name, known, f"Store: {folder}.")
        look = {"domain": self._domain, "unfinished learning": self._run}
        for kind, name, path in found:
            if names and name not in names or not path.exists():  # it may be gone by now
                continue
            yield Finding(kind, name, path, *look.get(kind, self._temporary)(name, path))

    def repair(self, finding: Finding) -> Finding:
        """Move what is damaged aside and remove what is left over; nothing else is touched.

        What was damaged and has been replaced since is left alone. What could not be done is said
        in the remark of the finding that is returned.
        """
        if finding.verdict not in (DAMAGED, LEFT_OVER):
            return finding
        try:
            with writing(self.store.folder, finding.name):  # which removes what is left over
                if finding.verdict == LEFT_OVER:
                    finding.path.unlink(missing_ok=True)
                    return replace(finding, verdict=REMOVED, remark="")
                return self._move_aside(finding)
        except OSError as error:
            problem = disk_reason(error)
        except DomainError as error:
            problem = str(error)
        return replace(finding, remark=f"{finding.remark} It was not repaired, as {problem}")

    def _move_aside(self, finding: Finding) -> Finding:
        is_domain = finding.kind == "domain"
        look, place = (
            (self._domain, finding.path)
            if is_domain
            else (self._run, self.store.folder / f"{finding.name}.learning")
        )
        verdict, remark = look(finding.name, finding.path)
        if verdict != DAMAGED:
            return replace(finding, verdict=verdict, remark=remark)
        aside = _free_place(place)
        finding.path.rename(aside)
        return replace(finding, verdict=MOVED, remark=f"{remark} It is now {aside}.")

    def _domain(self, name: str, path: Path) -> tuple[str, str]:
        try:
            check_name(name)
            with open_domain(path) as file:
                return GOOD, self._look_into(file)
        except DamagedError as error:
            return DAMAGED, str(error)
        except DomainError as error:
            return UNUSABLE, str(error)

    def _look_into(self, file: DomainFile) -> str:
        """Raise what is wrong with a file, or return what should be known about it."""
        backbone = file.info.backbone
        is_known = backbone in BACKBONES
        problem: DomainError | None = None
        if is_known:
            try:
                check_declared(file, self._known(backbone)[0])
            except DomainError as error:
                problem = error
        is_read = (is_known and problem is None) or file.data_bytes <= LOOK_INTO_BYTES
        if is_read:
            file.read()  # first, as damage may be the reason of another problem
        if problem is not None:
            raise problem
        if not is_known:
            unread = "" if is_read else f" Nor were its {file.data_bytes} bytes of tensors."
            return (
                f"Its backbone {backbone!r} is none of addapt's own: whether it fits that one was "
                f"not checked.{unread}"
            )
        if file.info.weights_sha256 != self._known(backbone)[1]:
            return (
                f"It was learned on other weights of {backbone} than those that come along "
                f"({file.info.weights_sha256[:6]}…): whether you have them was not checked."
            )
        return ""

    def _run(self, name: str, path: Path) -> tuple[str, str]:
        if is_being_written(self.store.folder, name):
            return GOOD, "It is being learned at this moment."
        state = path / STATE_FILE
        try:
            state_bytes = state.stat().st_size
            if state_bytes > LOOK_INTO_BYTES:
                return GOOD, f"{state} has {state_bytes} bytes: too many to look into."
            load_run(path, {})
        except OSError as error:
            return UNUSABLE, f"{state} could not be read because {disk_reason(error)}"
        except TrainingError as error:
            is_unread = isinstance(error.__cause__, OSError)
            return UNUSABLE if is_unread else DAMAGED, str(error)
        return GOOD, "Give the same `addapt learn` command again to go on with it."

    def _temporary(self, name: str, path: Path) -> tuple[str, str]:
        if is_being_written(self.store.folder, name):
            return GOOD, "It is being written at this moment."
        return LEFT_OVER, "A program was stopped while it wrote: --repair removes it."

    def _known(self, name: str) -> tuple[Backbone, str | None]:
        """Return a backbone of addapt's own, without values, and the hash of its own weights.

        Of one that comes without weights, or whose package is not installed, the hash is None.
        """
        if name not in self._backbones:
            try:
                backbone = load_backbone(name)
            except AddaptError:
                backbone = load_backbone(name, "random")
            is_random = backbone.info.weights.startswith("random")
            sha256 = None if is_random else backbone.info.weights_sha256
            self._backbones[name] = hollow_backbone(backbone), sha256
        return self._backbones[name]


def _free_place(path: Path) -> Path:
    """Return a path beside `path` where nothing is: "a.damaged", "a.damaged.2", ..."""
    number, place = 1, path.with_name(path.name + DAMAGED_SUFFIX)
    while place.exists():
        number += 1
        place = path.with_name(f"{path.name}{DAMAGED_SUFFIX}.{number}")
    return place
