"""The head of a safetensors file, checked wholly before anything of its size is allocated.

A file may come from a stranger or from a dying disk. What it says of itself is held against the
file's size: tensors must lie one after the other, without gap or overlap, up to its very end.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from addapt._errors import DamagedError

HEADER_LIMIT_BYTES = 1_000_000
DIMENSIONS_LIMIT = 8
LENGTH_BYTES = 8  # the file begins with the header's length, little-endian
METADATA = "__metadata__"  # where safetensors keeps texts
# The bytes of an element, by safetensors' name of its type and numpy's, which lacks bfloat16.
_TYPES = {
    "BOOL": ("bool", 1),
    "U8": ("uint8", 1),
    "I8": ("int8", 1),
    "I16": ("int16", 2),
    "F16": ("float16", 2),
    "BF16": ("bfloat16", 2),
    "I32": ("int32", 4),
    "F32": ("float32", 4),
    "I64": ("int64", 8),
    "F64": ("float64", 8),
}
TYPE_NAMES = {dtype: name for name, (dtype, _) in _TYPES.items()}
_TYPE_LIMIT = 2**63  # no size and no place in a file is larger


@dataclass(frozen=True)
class TensorPlace:
    """A tensor in a file: the name of its type ("float32"), its shape, and where its bytes lie.

    `start` and `end` count from the end of the header.
    """

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Header:
    """What the head of a file says: texts, tensors, and how many bytes come before the tensors."""

    texts: Mapping[str, str]
    tensors: Mapping[str, TensorPlace]
    bytes: int

    @property
    def data_bytes(self) -> int:
        """Return the size of all tensors together."""
        return max((place.end for place in self.tensors.values()), default=0)


def read_header(file: BinaryIO, path: Path) -> Header:
    """Read the head of an open file and leave it at the first tensor's first byte.

    Raises:
        DamagedError: it is no safetensors file, or the header and the file's size do not agree.
        OSError: the disk refused.
    """
    file_bytes = os.fstat(file.fileno()).st_size
    prefix = file.read(LENGTH_BYTES)
    header_bytes = int.from_bytes(prefix, "little")
    head_bytes = LENGTH_BYTES + header_bytes
    if len(prefix) < LENGTH_BYTES or header_bytes > HEADER_LIMIT_BYTES or head_bytes > file_bytes:
        _refuse_file(path)
    try:
        values = json.loads(file.read(header_bytes), object_pairs_hook=unique_keys)
    except (ValueError, RecursionError):
        values = None
    texts = values.pop(METADATA, {}) if isinstance(values, dict) else None
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        _refuse_file(path)
    try:
        tensors = {name: tensor_place(entry) for name, entry in values.items()}
        _check_order(tensors.values(), file_bytes - head_bytes)
    except ValueError as error:
        raise DamagedError(
            f"{path} is damaged, its table of tensors makes no sense: {error}. "
            "Restore it from a copy or learn the domain again."
        ) from None
    return Header(texts, tensors, head_bytes)


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a table of what a JSON object holds, for `json.loads(object_pairs_hook=...)`.

    Raises:
        ValueError: a key is there twice, so that programs may differ in what they read.
    """
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ValueError("a key is there twice")
    return table


def checksum(
    text: str, tensors: Mapping[str, TensorPlace], *data: bytes | bytearray | memoryview
) -> str:
    """Hash a description, the table of tensors and the tensors' bytes, in hexadecimal."""
    table = {
        name: (place.dtype, place.shape, place.start, place.end) for name, place in tensors.items()
    }
    digest = hashlib.sha256(json.dumps([text, table], sort_keys=True).encode())
    for piece in data:
        digest.update(piece)
    return digest.hexdigest()


def tensor_place(entry: object) -> TensorPlace:
    """Read a tensor's entry in the header.

    Raises:
        ValueError: it makes no sense by itself.
    """
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError("a tensor lacks its type, shape or place")
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not isinstance(entry["dtype"], str) or entry["dtype"] not in _TYPES:
        raise ValueError("a tensor's type is unknown")
    if not _are_sizes(shape) or len(shape) > DIMENSIONS_LIMIT:
        raise ValueError("a tensor's shape is no short list of sizes")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise ValueError("a tensor's place is no pair of numbers")
    dtype, element_bytes = _TYPES[entry["dtype"]]
    start, end = offsets
    if end - start != element_bytes * math.prod(shape):
        raise ValueError("a tensor's shape and its bytes do not agree")
    return TensorPlace(dtype, tuple(shape), start, end)


def _refuse_file(path: Path) -> NoReturn:
    raise DamagedError(
        f"{path} is not a domain: it is no safetensors file, or it is damaged. "
        "Restore it from a copy or learn the domain again."
    ) from None


def _are_sizes(value: object) -> bool:
    return isinstance(value, list) and all(
        type(size) is int and 0 <= size < _TYPE_LIMIT for size in value
    )


def _check_order(places: Iterable[TensorPlace], data_bytes: int) -> None:
    in_order = sorted((place.start, place.end) for place in places)
    first, last = (in_order[0][0], in_order[-1][1]) if in_order else (0, 0)
    if first != 0 or any(end != start for (_, end), (start, _) in pairwise(in_order)):
        raise ValueError("tensors overlap, or there are gaps between them")
    if last != data_bytes:
        raise ValueError(
            f"the file has {data_bytes} bytes of tensors and should have {last}, as if it had "
            "been cut off or added to"
        )
