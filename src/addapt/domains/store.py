"""The store: a folder that keeps domains, one file each, and what belongs to them."""

import contextlib
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from addapt._disk import disk_reason
from addapt._errors import DomainError, UnknownNameError
from addapt.domains.file import DomainFile, open_domain, read_domain, read_info, write_domain
from addapt.domains.info import DomainInfo
from addapt.domains.layout import HISTORY_SUFFIX, LEARNING_FOLDER, SUFFIX, check_name, may_be_name
from addapt.domains.lock import writing
from addapt.domains.relabelling import with_class_renamed


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
        return tuple(sorted(stem for stem in stems if may_be_name(stem)))

    def exists(self, name: str) -> bool:
        """Tell whether there is a domain of exactly this name."""
        return name in self.names()

    def require(self, name: str) -> Path:
        """Return the path of a domain that is there, or raise an UnknownNameError."""
        names = self.names()
        if name not in names:
            raise UnknownNameError("domain", name, names, f"Store: {self.folder}.")
        return self.path(name)

    def info(self, name: str) -> DomainInfo:
        """Read what is known about a domain, without its tensors."""
        return read_info(self.require(name))

    def open(self, name: str) -> AbstractContextManager[DomainFile]:
        """Open a domain's file, so that its tensors can be looked at before they are read."""
        return open_domain(self.require(name))

    def read(self, name: str) -> tuple[DomainInfo, dict[str, NDArray[Any]]]:
        """Read a domain: what is known about it, and its tensors, whatever they are."""
        return read_domain(self.require(name))

    def save(self, name: str, info: DomainInfo, tensors: Mapping[str, NDArray[Any]]) -> None:
        """Write a domain, over an older one of the same name; makes the folder if needed."""
        path = self.path(name)
        with writing(self.folder, name):
            self.refuse_case_twin(name)
            write_domain(path, info, tensors)

    def remove(self, name: str) -> None:
        """Delete a domain, its history and what an unfinished learning left; or only the latter.

        Raises:
            UnknownNameError: there is neither.
            DomainError: the disk refused; whatever is left can be removed again.
        """
        self._require_something(name)
        with writing(self.folder, name):
            self._require_something(name)  # another writer may have been quicker
            try:
                if self.state_path(name).exists():
                    shutil.rmtree(self.state_path(name))
                self.history_path(name).unlink(missing_ok=True)
                # Last: until then the domain is listed and can be removed again.
                self.path(name).unlink(missing_ok=True)
            except OSError as error:
                raise DomainError(
                    f"Domain {name!r} could not be removed from {self.folder} because "
                    f"{disk_reason(error)}"
                ) from error

    def _require_something(self, name: str) -> None:
        if not (may_be_name(name) and self.state_path(name).exists()):
            self.require(name)

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
        with writing(self.folder, old, new):
            self.require(old)  # another writer may have been quicker
            if self.exists(new):
                raise DomainError(
                    f"There is a domain {new!r} in {self.folder} already: "
                    f"choose another name, or remove it before {old!r} is renamed."
                )
            if new.lower() != old.lower():  # else the file system may show `old` under both names
                self.refuse_case_twin(new)
                self._refuse_leftovers(new)
            self._move(old, new)

    def rename_class(self, name: str, old: str, new: str) -> DomainInfo:
        """Give a class of a domain another name; its place and all tensors stay.

        Returns:
            What the domain's file says from now on.

        Raises:
            UnknownNameError: there is no such domain, or no class `old`.
            DomainError: `new` is taken or not allowed, a learning of the domain is unfinished, or
                the file is damaged or could not be written.
        """
        self.require(name)
        with writing(self.folder, name):
            info, tensors = self.read(name)
            renamed = with_class_renamed(info, old, new)
            if renamed != info:
                if self.state_path(name).exists():
                    raise DomainError(
                        f"A learning of the domain {name!r} is unfinished, and would bring the "
                        f"class {old!r} back: finish it first."
                    )
                write_domain(self.path(name), renamed, tensors)
        return renamed

    def _move(self, old: str, new: str) -> None:
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
