"""The store: a folder that keeps domains, one file each, and what belongs to them."""

import contextlib
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from addapt._disk import disk_reason
from addapt._errors import DomainError, UnknownNameError
from addapt.domains.file import read_domain, read_info, write_domain
from addapt.domains.info import DomainInfo

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

SUFFIX = ".safetensors"
HISTORY_SUFFIX = ".history.jsonl"
LEARNING_FOLDER = ".learning"
NAME_LENGTH = 64

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# Windows opens a device, not a file, under these names, whatever suffix follows.
_DEVICES = {"con", "prn", "aux", "nul"} | {
    f"{port}{i}" for port in ("com", "lpt") for i in range(10)
}


def check_name(name: str) -> str:
    """Return `name` if a domain may be called so on every system.

    Raises:
        DomainError: it may not; the message says what is allowed.
    """
    if (
        len(name) > NAME_LENGTH
        or not _NAME.fullmatch(name)
        or name.endswith(".")
        or name.split(".")[0].lower() in _DEVICES
    ):
        raise DomainError(
            f"A domain cannot be called {name!r}: use at most {NAME_LENGTH} letters a-z or A-Z, "
            "digits, '_', '-' and '.', with a letter or digit first, no '.' at the end, and no "
            "name that Windows reserves, such as 'con'."
        )
    return name


class Store:
    """A folder of domains. It need not exist before the first `save`.

    Names that differ only in letter case are refused on every system: where the
    file system does not tell them apart, one would overwrite the other.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def path(self, name: str) -> Path:
        """Return where the domain's file is, or would be."""
        return self.folder / f"{check_name(name)}{SUFFIX}"

    def history_path(self, name: str) -> Path:
        """Return where the history of learning this domain is, or would be."""
        return self.folder / f"{check_name(name)}{HISTORY_SUFFIX}"

    def state_path(self, name: str) -> Path:
        """Return the folder that keeps an unfinished learning of this domain."""
        return self.folder / LEARNING_FOLDER / check_name(name)

    def names(self) -> tuple[str, ...]:
        """Return the domains' names, sorted; files that cannot be domains are left out."""
        try:
            files = [path.name for path in self.folder.iterdir() if path.is_file()]
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise DomainError(
                f"Store {self.folder} could not be read because {disk_reason(error)}"
            ) from error
        stems = (file.removesuffix(SUFFIX) for file in files if file.endswith(SUFFIX))
        return tuple(sorted(stem for stem in stems if _may_be_name(stem)))

    def exists(self, name: str) -> bool:
        """Tell whether there is a domain of exactly this name."""
        return name in self.names()

    def require(self, name: str) -> Path:
        """Return the path of a domain that must be there.

        Raises:
            UnknownNameError: it is not; the message lists the known names.
        """
        names = self.names()
        if name not in names:
            raise UnknownNameError("domain", name, names, f"Store: {self.folder}.")
        return self.path(name)

    def info(self, name: str) -> DomainInfo:
        """Read what is known about a domain, without its tensors."""
        return read_info(self.require(name))

    def read(self, name: str) -> "tuple[DomainInfo, dict[str, Tensor]]":
        """Read a domain: what is known about it, and its tensors."""
        return read_domain(self.require(name))

    def save(self, name: str, info: DomainInfo, tensors: "Mapping[str, Tensor]") -> None:
        """Write a domain, over an older one of the same name; makes the folder if needed."""
        path = self.path(name)
        self.refuse_case_twin(name)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DomainError(
                f"Store {self.folder} could not be made because {disk_reason(error)}"
            ) from error
        write_domain(path, info, tensors)

    def remove(self, name: str) -> None:
        """Delete a domain, its history and what an unfinished learning left; or only the latter.

        Raises:
            UnknownNameError: there is neither.
            DomainError: the disk refused; whatever is left can be removed again.
        """
        if not (_may_be_name(name) and self.state_path(name).exists()):
            self.require(name)
        path = self.path(name)
        try:
            if self.state_path(name).exists():
                shutil.rmtree(self.state_path(name))
            self.history_path(name).unlink(missing_ok=True)
            # Last: until then the domain is listed and can be removed again.
            path.unlink(missing_ok=True)
        except OSError as error:
            raise DomainError(
                f"Domain {name!r} could not be removed from {self.folder} because "
                f"{disk_reason(error)}"
            ) from error

    def rename(self, old: str, new: str) -> None:
        """Give a domain, its history and its unfinished learning another name, or change nothing.

        Raises:
            UnknownNameError: there is no domain `old`.
            DomainError: `new` is taken or not allowed, or the disk refused.
        """
        self.require(old)
        check_name(new)
        if old == new:
            return
        if self.exists(new):
            raise DomainError(
                f"There is a domain {new!r} in {self.folder} already: "
                f"choose another name, or remove it before {old!r} is renamed."
            )
        if new.lower() != old.lower():  # else the file system may show `old` under both names
            self.refuse_case_twin(new)
            self._refuse_leftovers(new)
        moved: list[tuple[Path, Path]] = []
        try:
            for of in (self.state_path, self.history_path, self.path):
                source, target = of(old), of(new)
                if source.exists():
                    source.rename(target)
                    moved.append((source, target))
        except OSError as error:
            for source, target in reversed(moved):
                with contextlib.suppress(OSError):
                    target.rename(source)
            raise DomainError(
                f"Domain {old!r} in {self.folder} could not be renamed to {new!r} because "
                f"{disk_reason(error)}"
            ) from error

    def _refuse_leftovers(self, name: str) -> None:
        for path in (self.history_path(name), self.state_path(name)):
            if path.exists():
                raise DomainError(
                    f"A domain {name!r} is being learned, or its learning broke off, and left "
                    f"{path}: finish it, delete that, or choose another name."
                )

    def refuse_case_twin(self, name: str) -> None:
        """Raise a DomainError if another domain's name differs from `name` only in letter case."""
        for other in self.names():
            if other != name and other.lower() == name.lower():
                raise DomainError(
                    f"{name!r} differs from the domain {other!r} in {self.folder} only in letter "
                    f"case, and some systems take them for one: use {other!r} or another name."
                )


def _may_be_name(text: str) -> bool:
    try:
        check_name(text)
    except DomainError:
        return False
    return True
