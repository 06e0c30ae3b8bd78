"""Whether all in a store is as it was written and can be used, and what can be done if not.

No engine is needed for that: whether each tensor has the shape that its method declares is only
known to those who make the domain's model, and asked of them on demand.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from addapt._disk import disk_reason
from addapt._errors import (
    AddaptError,
    DamagedError,
    DomainError,
    MissingPackageError,
    TrainingError,
    UnknownNameError,
)
from addapt.backbones import BACKBONES, is_named
from addapt.domains import DomainFile, Store, check_name, open_domain, writing
from addapt.domains.layout import DAMAGED_SUFFIX, LEARNING_FOLDER, SUFFIX, leftovers, may_be_name
from addapt.domains.lock import is_being_written
from addapt.learning.checkpoint import STATE_FILE, load_run

GOOD, DAMAGED, UNUSABLE = "good", "damaged", "unusable"
LEFT_OVER, REMOVED, MOVED = "left over", "removed", "moved aside"
NO_SIGNATURE = "It has no signature, and takes part by its name alone: `addapt index` makes one."
LOOK_INTO_BYTES = 500_000_000  # of tensors; a header may claim any number of them


@dataclass(frozen=True)
class Finding:
    """One thing in a store: a domain, an unfinished learning or a temporary file.

    `remark` says what is wrong, what can be done, or what could not be confirmed.
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
    """Checks things of one store.

    `load` makes a domain's model, or raises an AddaptError that says why none can be made of the
    file. It is called for domains of addapt's own backbones and of timm's, whatever weights they
    were learned on.
    """

    def __init__(self, store: Store, load: Callable[[str], object] | None = None) -> None:
        self.store, self._load = store, load

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
        look, place = self._domain, finding.path
        if finding.kind != "domain":
            look, place = self._run, self.store.folder / f"{finding.name}.learning"
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
                load = self._load if is_named(file.info.backbone) else None
                remark = _look_into(file, loads=load is not None)
            if load is not None:
                load(name)
        except MissingPackageError as error:
            return GOOD, f"Its model was not made. {error}"
        except DamagedError as error:
            return DAMAGED, str(error)
        except AddaptError as error:
            return UNUSABLE, str(error)
        return GOOD, remark

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
        return LEFT_OVER, "A program was stopped while it wrote: `repair` removes it."


def _look_into(file: DomainFile, *, loads: bool) -> str:
    """Return what should be known about a file, or raise the DomainError that tells its fault.

    With `loads` its model is made next, which tells whether it fits its backbone.
    """
    if file.data_bytes > LOOK_INTO_BYTES:
        return f"It has {file.data_bytes} bytes of tensors: too many to look into."
    file.read()  # first, as damage may be the reason of another problem
    info, has_signature = file.info, file.signature() is not None
    entry = BACKBONES.get(info.backbone)
    _check_head(file, None if entry is None else entry.features)
    if entry is None and not loads:
        remedy = " (it is with `loads=True`)" if is_named(info.backbone) else ""
        return (
            f"Its backbone {info.backbone!r} is none of addapt's own: whether it fits that one was "
            f"not checked{remedy}."
        )
    unchecked = f"({info.weights_sha256[:6]}…): whether you have them was not checked."
    if entry is None:
        return f"It was learned on weights of {info.backbone} {unchecked}"
    if info.weights_sha256 != entry.weights_sha256:
        return (
            f"It was learned on other weights of {info.backbone} than those that come along "
            f"{unchecked}"
        )
    if not has_signature:
        return NO_SIGNATURE
    return ""


def _check_head(file: DomainFile, features: int | None) -> None:
    """Compare the classifier's shapes with the classes, and the features if they are known."""
    classes = len(file.info.classes)
    sides: dict[str, tuple[int | None, ...]] = {
        "head.weight": (classes, features),
        "head.bias": (classes,),
    }
    for name, needed in sides.items():
        if name not in file.tensors:
            problem = "is missing"
        elif _fits(shape := file.tensors[name].shape, needed):
            continue
        else:
            wanted = ", ".join("any" if side is None else str(side) for side in needed)
            problem = f"has shape {shape}, but ({wanted}) is needed"
        raise DomainError(
            f"{file.path} cannot be used. Its tensor {name!r} {problem}: it was written by another "
            "version or changed since. Learn the domain again, or use the version that wrote it "
            "(`addapt show` tells)."
        )


def _fits(shape: tuple[int, ...], needed: tuple[int | None, ...]) -> bool:
    return len(shape) == len(needed) and all(
        side in (None, found) for found, side in zip(shape, needed, strict=True)
    )


def _free_place(path: Path) -> Path:
    """Return a path beside `path` where nothing is: "a.damaged", "a.damaged.2", ..."""
    number, place = 1, path.with_name(path.name + DAMAGED_SUFFIX)
    while place.exists():
        number += 1
        place = path.with_name(f"{path.name}{DAMAGED_SUFFIX}.{number}")
    return place
