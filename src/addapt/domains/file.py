"""One domain is one safetensors file: its tensors, and its description in the header.

The description is read without torch, so that listing a store is quick.
"""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from addapt._disk import disk_reason, write_atomically
from addapt._errors import DomainError
from addapt.domains.info import DomainInfo

if TYPE_CHECKING:
    from torch import Tensor

HEADER_LIMIT_BYTES = 1_000_000
_LENGTH_BYTES = 8  # the file begins with the header's length, little-endian
_ALIGNMENT_BYTES = 8  # the header is padded with spaces, so that tensors begin aligned
_METADATA = "__metadata__"  # where safetensors keeps texts
_KEY = "addapt"  # where we keep ours


def write_domain(path: Path, info: DomainInfo, tensors: "Mapping[str, Tensor]") -> None:
    """Write a domain's file, whole or not at all: a file that was there stays until the end.

    The same inputs give the same bytes.

    Raises:
        DomainError: the folder is missing or not writable, the disk is full, or the
            description is too long.
    """
    header, data = _serialise(info, tensors)
    if len(header) > HEADER_LIMIT_BYTES:
        raise DomainError(
            f"{path} was not written: its description takes {len(header)} bytes, more than the "
            f"{HEADER_LIMIT_BYTES} allowed. Use fewer classes or shorter class names."
        )
    try:
        write_atomically(path, len(header).to_bytes(_LENGTH_BYTES, "little"), header, data)
    except OSError as error:
        raise DomainError(f"{path} could not be written because {disk_reason(error)}") from error


def read_info(path: Path) -> DomainInfo:
    """Read a domain's description from the head of its file, and nothing else.

    Raises:
        DomainError: no such file, not a domain, damaged, or written by a newer addapt.
    """
    try:
        with path.open("rb") as file:
            return _info(_read_header(file, path), path)
    except OSError as error:
        raise DomainError(f"{path} could not be read because {disk_reason(error)}") from error


def read_domain(path: Path) -> "tuple[DomainInfo, dict[str, Tensor]]":
    """Read a domain's description and its tensors, which are placed on the CPU.

    Raises:
        DomainError: as `read_info`, or the tensors are damaged.
    """
    try:
        # in one piece, so that description and tensors match even if the file is being replaced
        content = path.read_bytes()
    except OSError as error:
        raise DomainError(f"{path} could not be read because {disk_reason(error)}") from error
    info = _info(_read_header(io.BytesIO(content), path), path)

    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return info, load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise DomainError(
            f"{path} is damaged, its tensors cannot be read ({error}): "
            "restore it from a copy or learn the domain again."
        ) from error


def _serialise(info: DomainInfo, tensors: "Mapping[str, Tensor]") -> tuple[bytes, memoryview]:
    """Return the padded header and the tensors' bytes."""
    import torch
    from safetensors.torch import save

    # Copies, because safetensors refuses tensors that share memory or are not contiguous.
    copies = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in sorted(tensors.items())
    }
    content = memoryview(save(copies))
    # The description is put in here: safetensors writes its texts in random order.
    data_start = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")
    header = json.loads(bytes(content[_LENGTH_BYTES:data_start]))
    entries = {_METADATA: {_KEY: info.to_json(), "format": "pt"}, **header}
    text = json.dumps(entries, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % _ALIGNMENT_BYTES), content[data_start:]


def _read_header(file: BinaryIO, path: Path) -> dict[str, object]:
    no_safetensors = DomainError(
        f"{path} is not a domain: it is no safetensors file, or it is damaged. "
        "Restore it from a copy or learn the domain again."
    )
    prefix = file.read(_LENGTH_BYTES)
    header_bytes = int.from_bytes(prefix, "little")
    if len(prefix) < _LENGTH_BYTES or header_bytes > HEADER_LIMIT_BYTES:
        raise no_safetensors
    text = file.read(header_bytes)
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        raise no_safetensors from None
    if len(text) < header_bytes or not isinstance(header, dict):
        raise no_safetensors
    return header


def _info(header: dict[str, object], path: Path) -> DomainInfo:
    metadata = header.get(_METADATA)
    text = metadata.get(_KEY) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise DomainError(
            f"{path} is a safetensors file, but not a domain: addapt did not write it."
        )
    try:
        return DomainInfo.from_json(text)
    except DomainError as error:
        raise DomainError(f"{path} cannot be used. {error}") from error
