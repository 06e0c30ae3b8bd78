"""Files that torch.save wrote: an archive since torch 1.6, pickles and plain numbers before.

Numbers are not read but mapped: arrays are views of the file, which the system reads when they are
looked at and may forget again.
"""

import io
import mmap
import struct
import tarfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from addapt.backbones.tensor_pickle import Storage, StoredTensor, unpickle

# What says which tensors there are: a safetensors header, the pickle of a .pth file, or the
# directory of its archive. It takes some 130 bytes a tensor, but can be written so that each
# byte of it costs dozens when it is read.
MAX_LISTING_BYTES = 500_000

_ARCHIVE_START = b"PK\x03\x04"
# before each part of an archive: a mark, and last the lengths of a name and of padding
_PART_HEADER = struct.Struct("<4s22xHH")
_ENCRYPTED = 0x1
_BYTE_ORDERS = {b"little": "<", b"big": ">"}

_OLD_MAGIC = 0x1950A86A20F9469CFC6C
_OLD_PROTOCOL = 1001
_OLD_COUNT_BYTES = 8  # before the numbers of each storage
_TAR_BLOCK_BYTES = 512


@dataclass
class TorchFile:
    """A mapped file: what its pickle holds, and where the bytes of its storages are."""

    content: Any
    mapped: mmap.mmap
    places: dict[str, slice]
    byte_order: str = "<"
    _storages: dict[str, NDArray[Any]] = field(default_factory=dict)

    def array(self, tensor: StoredTensor) -> NDArray[Any]:
        """Return a tensor's numbers, not to be written to; bfloat16 becomes float32.

        Raises:
            ValueError: the file does not hold them.
        """
        numbers = self._numbers(tensor.storage)
        shape, strides, size = tensor.shape, tensor.strides, numbers.itemsize
        if 0 in shape:
            return np.empty(shape, numbers.dtype)
        steps = zip(shape, strides, strict=True)
        last = tensor.offset + sum((side - 1) * stride for side, stride in steps)
        if last >= len(numbers):
            raise ValueError("a tensor in it reaches beyond the numbers it is made of")
        array: NDArray[Any] = np.ndarray(
            shape, numbers.dtype, numbers, tensor.offset * size, [n * size for n in strides]
        )
        return array

    def _numbers(self, storage: Storage) -> NDArray[Any]:
        if storage.key not in self._storages:
            self._storages[storage.key] = self._read(storage)
        return self._storages[storage.key]

    def _read(self, storage: Storage) -> NDArray[Any]:
        place = self.places.get(storage.key, slice(0, 0))
        dtype = np.dtype(f"{self.byte_order}{storage.kind}")
        if place.stop - place.start != storage.count * dtype.itemsize:
            raise ValueError("it does not hold as many numbers as its list of tensors says")
        stored = np.frombuffer(self.mapped, dtype, storage.count, place.start)
        numbers = stored.astype(dtype.newbyteorder("="), copy=False)
        return from_bfloat16(numbers) if storage.is_bfloat16 else numbers


def from_bfloat16(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return the float32 numbers of which these are the upper halves."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def open_torch_file(path: Path) -> TorchFile:
    """Map a file and read its list of tensors, and nothing else yet.

    Raises:
        UnpicklingError: there is more in it than tensors.
        ValueError: it is damaged, or no such file.
    """
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    is_archive = mapped[: len(_ARCHIVE_START)] == _ARCHIVE_START
    return _open_archive(path, mapped) if is_archive else _open_old(mapped)


def _open_archive(path: Path, mapped: mmap.mmap) -> TorchFile:
    """Refuse an archive that unpacks to more than there is, or whose pickle does more than tell."""
    with _ShortReads(path) as file, zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if len({member.filename.lower() for member in members}) < len(members):
            raise ValueError("two parts of it have the same name")
        # PyTorch packs nothing, and a part that is packed can unpack to any size
        packed = any(
            member.compress_type != zipfile.ZIP_STORED or member.flag_bits & _ENCRYPTED
            for member in members
        )
        if packed or sum(member.file_size for member in members) > len(mapped):
            raise ValueError("it is compressed, or claims to hold more bytes than it has")
        pickles = [member for member in members if member.filename.lower().endswith("/data.pkl")]
        if len(pickles) != 1 or pickles[0].file_size > MAX_LISTING_BYTES:
            raise ValueError("it has no list of tensors, or one that is too long")
        content, storages = unpickle(io.BytesIO(archive.read(pickles[0])))
        root = pickles[0].filename.rpartition("/")[0]
        by_name = {member.filename: member for member in members}
        order = by_name.get(f"{root}/byteorder")
        byte_order = _BYTE_ORDERS.get(archive.read(order)) if order else "<"
    if byte_order is None:
        raise ValueError("it does not say in which order the bytes of its numbers are")
    parts = {key: by_name.get(f"{root}/data/{key}") for key in storages}
    places = {key: _place(mapped, part) for key, part in parts.items() if part}
    return TorchFile(content, mapped, places, byte_order)


def _place(mapped: mmap.mmap, part: zipfile.ZipInfo) -> slice:
    """Where the bytes of an archive's part lie."""
    header = mapped[part.header_offset : part.header_offset + _PART_HEADER.size]
    mark, name_bytes, padding_bytes = _PART_HEADER.unpack(header)
    start = part.header_offset + _PART_HEADER.size + name_bytes + padding_bytes
    if mark != _ARCHIVE_START or start + part.file_size > len(mapped):
        raise ValueError("its directory is damaged")
    return slice(start, start + part.file_size)


def _open_old(mapped: mmap.mmap) -> TorchFile:
    """Read a file of torch before 1.6: five pickles, then each storage's length and numbers."""
    head = mapped[:MAX_LISTING_BYTES]
    try:
        tarfile.TarInfo.frombuf(head[:_TAR_BLOCK_BYTES], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        pass
    else:  # PyTorch would unpack it, and up to 2.5 that could run code
        raise UnpicklingError("a tar archive")
    stream = io.BytesIO(head)
    magic, protocol, _system = (unpickle(stream)[0] for _ in range(3))
    content, storages = unpickle(stream)
    keys = unpickle(stream)[0]
    if (magic, protocol) != (_OLD_MAGIC, _OLD_PROTOCOL) or not isinstance(keys, list):
        raise ValueError("it is of another kind, or damaged")
    places = {}
    position = stream.tell()
    for key in keys:
        if not isinstance(key, str) or key not in storages:
            raise ValueError("it holds numbers of no tensor")
        start = position + _OLD_COUNT_BYTES
        count = int.from_bytes(mapped[position:start], "little")
        position = start + count * storages[key].item_bytes
        if position > len(mapped):
            raise ValueError("it ends before its numbers do")
        places[key] = slice(start, position)
    return TorchFile(content, mapped, places)


class _ShortReads(io.FileIO):
    """A file of which no long piece can be read at once, as the directory of an archive is."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_LISTING_BYTES:
            raise ValueError(f"a part of it that should be short takes {size:,} bytes")
        return super().read(size) or b""
