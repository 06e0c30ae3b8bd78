"""Tensors and a text in one safetensors file, sealed with a checksum of both.

The format is that of the safetensors library; the code is ours for three reasons. The library's
`save` writes its texts in random order, so that equal domains would differ in their bytes. It takes
the memory of all tensors twice or three times. And a file may be a stranger's: all that its header
claims is checked by `addapt.domains.header` before anything of the claimed size is allocated.
"""

import json
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from addapt.domains.header import LENGTH_BYTES, METADATA, TYPE_NAMES, Header, TensorPlace, checksum

CHECKSUM = "sha256"
_ALIGNMENT_BYTES = 8  # the header is padded with spaces, so that tensors begin aligned
_BFLOAT16 = "bfloat16"  # the upper half of a float32; numpy has no such type


def seal(key: str, text: str, tensors: Mapping[str, NDArray[Any]]) -> list[bytes | memoryview]:
    """Return the parts of a file: its beginning, up to its header's end, then each tensor's bytes.

    The same inputs give the same bytes. In the header `text` is called `key`. The tensors may have
    any order in memory and even lie in the same place.

    *Memory:* the bytes of those tensors alone that do not lie in C's order.
    """
    places: dict[str, TensorPlace] = {}
    data: list[bytes | memoryview] = []
    end = 0
    # Those of large elements first, so that each lies aligned.
    for name in sorted(tensors, key=lambda name: (-tensors[name].itemsize, name)):
        tensor = tensors[name]
        start, end = end, end + tensor.nbytes
        places[name] = TensorPlace(tensor.dtype.name, tensor.shape, start, end)
        data.append(np.ascontiguousarray(tensor).reshape(-1).view(np.uint8).data)
    entries: dict[str, object] = {
        METADATA: {key: text, "format": "pt", CHECKSUM: checksum(text, places, *data)}
    }
    for name, place in places.items():
        entries[name] = {
            "dtype": TYPE_NAMES[place.dtype],
            "shape": place.shape,
            "data_offsets": (place.start, place.end),
        }
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % _ALIGNMENT_BYTES)
    return [len(header).to_bytes(LENGTH_BYTES, "little") + header, *data]


def unseal(
    key: str, header: Header, file: BinaryIO, *, sealed: bool = True
) -> dict[str, NDArray[Any]]:
    """Read all tensors of an open file, of which `header` has been read.

    They lie in one block of memory, all but those of type bfloat16, which become float32. If not
    `sealed`, there need be no checksum; one that is there is compared anyway.

    Raises:
        ValueError: the file ends too early, or its checksum is missing or wrong.
        OSError: the disk refused.
    """
    data = bytearray(header.data_bytes)
    file.seek(header.bytes)
    if file.readinto(data) != len(data):  # type: ignore[attr-defined]
        raise ValueError("the file ends too early")
    if sealed and CHECKSUM not in header.texts:
        raise ValueError("its checksum is missing")
    computed = checksum(header.texts.get(key, ""), header.tensors, data)
    if header.texts.get(CHECKSUM, computed) != computed:
        raise ValueError("its checksum is wrong")
    return {name: _view(data, place) for name, place in header.tensors.items()}


def tensor_at(place: TensorPlace, header: Header, file: BinaryIO) -> NDArray[Any]:
    """Read one tensor of an open file, whose bytes are not compared with any checksum.

    Raises:
        ValueError: the file ends too early.
        OSError: the disk refused.
    """
    data = bytearray(place.end - place.start)
    file.seek(header.bytes + place.start)
    if file.readinto(data) != len(data):  # type: ignore[attr-defined]
        raise ValueError("the file ends too early")
    return _view(data, TensorPlace(place.dtype, place.shape, 0, len(data)))


def _view(data: bytearray, place: TensorPlace) -> NDArray[Any]:
    """Return the tensor at `place` without copying it, unless numpy lacks its type."""
    part = memoryview(data)[place.start : place.end]
    if place.dtype == _BFLOAT16:
        upper = np.frombuffer(part, np.uint16).astype(np.uint32)
        return (upper << 16).view(np.float32).reshape(place.shape)
    return np.frombuffer(part, np.dtype(place.dtype)).reshape(place.shape)
