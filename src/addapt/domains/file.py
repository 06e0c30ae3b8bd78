"""One domain is one safetensors file: its tensors, and its description in the header.

Listing a store reads descriptions only.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from addapt._disk import disk_reason, write_atomically
from addapt._errors import DamagedError, DomainError
from addapt.domains.header import HEADER_LIMIT_BYTES, Header, TensorPlace, read_header
from addapt.domains.info import CHECKSUM_SCHEMA, DomainInfo
from addapt.domains.sealed import seal, tensor_at, unseal
from addapt.domains.signature import NAMES, Signature

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

        # Those of its method; none is in memory yet.
        self.tensors: Mapping[str, TensorPlace] = {
            name: place for name, place in self._header.tensors.items() if name not in NAMES
        }
        self.data_bytes = self._header.data_bytes

    @property
    def stamp(self) -> tuple[int, int, int]:
        """What tells this version of the file from a later one: number, size, time of change."""
        return _stamp(os.fstat(self._file.fileno()))

    def read(self) -> dict[str, NDArray[Any]]:
        """Read all tensors, the signature's too; those of type bfloat16 become float32.

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
            raise _unread(self.path, error) from error
        for name, tensor in tensors.items():
            if not np.isfinite(tensor).all():
                raise _damaged(
                    self.path, f"tensor {name!r} holds values that are infinite or not a number"
                )
        return tensors

    def signature(self) -> Signature | None:
        """Read the signature alone; None if there is none.

        Raises:
            DamagedError: it is not what was written.
            DomainError: the disk refused.
        """
        fields, places = self.info.signature, self._header.tensors
        if not fields:
            return None
        try:
            found = {
                name: tensor_at(places[name], self._header, self._file)
                for name in NAMES & places.keys()
            }
            return Signature.of(fields, found)
        except ValueError as error:
            raise _damaged(self.path, str(error)) from None
        except OSError as error:
            raise _unread(self.path, error) from error


@contextmanager
def open_domain(path: Path) -> Iterator[DomainFile]:
    """Open a domain's file: one version of it is read, even while it is being replaced.

    Raises:
        DomainError: no such file, not a domain, damaged, or written by a newer addapt.
    """
    with ExitStack() as stack:
        try:
            opened = DomainFile(stack.enter_context(path.open("rb")), path)
        except OSError as error:
            raise _unread(path, error) from error
        yield opened


def read_stamp(path: Path) -> tuple[int, int, int] | None:
    """Return the stamp of a domain's file without opening it; None where it is not to be had."""
    try:
        return _stamp(path.stat())
    except OSError:
        return None


def read_info(path: Path) -> DomainInfo:
    """Read a domain's description from the head of its file, and nothing else."""
    with open_domain(path) as file:
        return file.info


def read_domain(path: Path) -> tuple[DomainInfo, dict[str, NDArray[Any]]]:
    """Read a domain's description and its tensors, whatever they are."""
    with open_domain(path) as file:
        return file.info, file.read()


def write_domain(path: Path, info: DomainInfo, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Write a domain's file, whole or not at all: a file that was there stays until the end.

    The same inputs give the same bytes.

    Raises:
        DomainError: the folder is missing or not writable, the disk is full, or the
            description is too long.
    """
    parts = seal(_DESCRIPTION, info.to_json(), tensors)
    if len(parts[0]) > HEADER_LIMIT_BYTES:
        raise DomainError(
            f"{path} was not written: its description takes {len(parts[0])} bytes, more than the "
            f"{HEADER_LIMIT_BYTES} allowed. Use fewer classes or shorter class names."
        )
    try:
        write_atomically(path, *parts)
    except OSError as error:
        raise DomainError(f"{path} could not be written because {disk_reason(error)}") from error


def _stamp(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns


def _info(header: Header, path: Path) -> DomainInfo:
    if _DESCRIPTION not in header.texts:
        raise DomainError(
            f"{path} is a safetensors file, but not a domain: addapt did not write it."
        )
    try:
        return DomainInfo.from_json(header.texts[_DESCRIPTION])
    except DomainError as error:
        raise type(error)(f"{path} cannot be used. {error}") from error


def _unread(path: Path, error: OSError) -> DomainError:
    return DomainError(f"{path} could not be read because {disk_reason(error)}")


def _damaged(path: Path, reason: str) -> DamagedError:
    return DamagedError(
        f"{path} is damaged, {reason}: restore it from a copy or learn the domain again."
    )
