"""One domain is one safetensors file: its tensors, and its description in the header.

The description is read without torch, so that listing a store is quick.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from addapt._disk import disk_reason, write_atomically
from addapt._errors import DamagedError, DomainError
from addapt.domains.header import HEADER_LIMIT_BYTES, Header, TensorPlace, read_header
from addapt.domains.info import CHECKSUM_SCHEMA, DomainInfo
from addapt.domains.sealed import seal, unseal

if TYPE_CHECKING:
    from torch import Tensor

_DESCRIPTION = "addapt"  # where the header keeps it


class DomainFile:
    """A domain's file that is open: its description is read, and all its header says checked.

    Its tensors come after that, when their names, types and shapes have been looked at.
    """

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._header = read_header(file, path)
        self.path = path
        self.info = _info(self._header, path)

    @property
    def tensors(self) -> Mapping[str, TensorPlace]:
        """What tensors there are, none of which is in memory yet."""
        return self._header.tensors

    @property
    def data_bytes(self) -> int:
        """What the tensors take together."""
        return self._header.data_bytes

    def read(self) -> "dict[str, Tensor]":
        """Read the tensors, which are placed on the CPU.

        Raises:
            DamagedError: they are not what was written, or hold values that are no finite numbers.
            DomainError: the disk refused.
        """
        sealed = self.info.schema >= CHECKSUM_SCHEMA
        try:
            tensors = unseal(_DESCRIPTION, self._header, self._file, sealed=sealed)
        except ValueError as error:
            raise _damaged(self.path, str(error)) from None
        except OSError as error:
            raise DomainError(
                f"{self.path} could not be read because {disk_reason(error)}"
            ) from error
        for name, tensor in tensors.items():
            if tensor.is_floating_point() and not tensor.isfinite().all():
                raise _damaged(
                    self.path, f"tensor {name!r} holds values that are infinite or not a number"
                )
        return tensors


@contextmanager
def open_domain(path: Path) -> Iterator[DomainFile]:
    """Open a domain's file: one version of it is read, even while it is being replaced.

    Raises:
        DomainError: no such file, not a domain, damaged, or written by a newer addapt.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise DomainError(f"{path} could not be read because {disk_reason(error)}") from error
    with file:
        try:
            opened = DomainFile(file, path)
        except OSError as error:
            raise DomainError(f"{path} could not be read because {disk_reason(error)}") from error
        yield opened


def read_info(path: Path) -> DomainInfo:
    """Read a domain's description from the head of its file, and nothing else.

    Raises:
        DomainError: as `open_domain`.
    """
    with open_domain(path) as file:
        return file.info


def read_domain(path: Path) -> "tuple[DomainInfo, dict[str, Tensor]]":
    """Read a domain's description and its tensors, whatever they are.

    Raises:
        DomainError: as `open_domain`, or as `DomainFile.read`.
    """
    with open_domain(path) as file:
        return file.info, file.read()


def write_domain(path: Path, info: DomainInfo, tensors: "Mapping[str, Tensor]") -> None:
    """Write a domain's file, whole or not at all: a file that was there stays until the end.

    The same inputs give the same bytes.

    Raises:
        DomainError: the folder is missing or not writable, the disk is full, or the
            description is too long.
    """
    header, data = seal(_DESCRIPTION, info.to_json(), tensors)
    if len(header) > HEADER_LIMIT_BYTES:
        raise DomainError(
            f"{path} was not written: its description takes {len(header)} bytes, more than the "
            f"{HEADER_LIMIT_BYTES} allowed. Use fewer classes or shorter class names."
        )
    try:
        write_atomically(path, header, data)
    except OSError as error:
        raise DomainError(f"{path} could not be written because {disk_reason(error)}") from error


def _info(header: Header, path: Path) -> DomainInfo:
    if _DESCRIPTION not in header.texts:
        raise DomainError(
            f"{path} is a safetensors file, but not a domain: addapt did not write it."
        )
    try:
        return DomainInfo.from_json(header.texts[_DESCRIPTION])
    except DomainError as error:
        raise type(error)(f"{path} cannot be used. {error}") from error


def _damaged(path: Path, reason: str) -> DamagedError:
    return DamagedError(
        f"{path} is damaged, {reason}: restore it from a copy or learn the domain again."
    )
