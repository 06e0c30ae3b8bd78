"""Tensors and a text in one safetensors file, sealed with a checksum of both."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, BinaryIO

from addapt.domains.header import (
    LENGTH_BYTES,
    METADATA,
    TYPE_NAMES,
    Header,
    TensorPlace,
    checksum,
)

if TYPE_CHECKING:
    from torch import Tensor

CHECKSUM = "sha256"
_ALIGNMENT_BYTES = 8  # the header is padded with spaces, so that tensors begin aligned


def seal(key: str, text: str, tensors: "Mapping[str, Tensor]") -> tuple[bytes, bytearray]:
    """Return a file's beginning, up to its header's end, and the tensors' bytes.

    The same inputs give the same bytes. The library's own `save` writes its texts in random order,
    and takes the memory of all tensors twice or three times.

    Args:
        key: the text's name in the header.
        text: what is to be said about the tensors.
        tensors: anywhere in memory, even in the same place.

    *Memory:* the bytes of all tensors.
    """
    import torch

    places: dict[str, TensorPlace] = {}
    end = 0
    # Those of large elements first, so that each lies aligned.
    for name in sorted(tensors, key=lambda name: (-tensors[name].element_size(), name)):
        tensor = tensors[name]
        start, end = end, end + tensor.nbytes
        dtype = str(tensor.dtype).removeprefix("torch.")
        places[name] = TensorPlace(dtype, tuple(tensor.shape), start, end)
    data = bytearray(end)
    for name, place in places.items():
        if place.start < place.end:
            part = memoryview(data)[place.start : place.end]
            target = torch.frombuffer(part, dtype=tensors[name].dtype).view(place.shape)
            target.copy_(tensors[name].detach())
    entries: dict[str, object] = {
        METADATA: {key: text, "format": "pt", CHECKSUM: checksum(text, places, data)}
    }
    for name, place in places.items():
        entries[name] = {
            "dtype": TYPE_NAMES[place.dtype],
            "shape": place.shape,
            "data_offsets": (place.start, place.end),
        }
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % _ALIGNMENT_BYTES)
    return len(header).to_bytes(LENGTH_BYTES, "little") + header, data


def unseal(key: str, header: Header, file: BinaryIO, *, sealed: bool = True) -> "dict[str, Tensor]":
    """Read all tensors of an open file, of which `header` has been read.

    Args:
        key: the text's name in the header.
        header: whose tensors fit into memory.
        file: is left at its end.
        sealed: whether there must be a checksum; one that is there is compared anyway.

    Raises:
        ValueError: the file ends too early, or its checksum is missing or wrong.
        OSError: the disk refused.
    """
    import torch

    data = bytearray(header.data_bytes)
    file.seek(header.bytes)
    if file.readinto(data) != len(data):  # type: ignore[attr-defined]
        raise ValueError("the file ends too early")
    if sealed and CHECKSUM not in header.texts:
        raise ValueError("its checksum is missing")
    computed = checksum(header.texts.get(key, ""), header.tensors, data)
    if header.texts.get(CHECKSUM, computed) != computed:
        raise ValueError("its checksum is wrong")
    tensors = {}
    for name, place in header.tensors.items():
        dtype: torch.dtype = getattr(torch, place.dtype)
        part = memoryview(data)[place.start : place.end]
        flat = torch.frombuffer(part, dtype=dtype) if part else torch.empty(0, dtype=dtype)
        tensors[name] = flat.view(place.shape)
    return tensors
