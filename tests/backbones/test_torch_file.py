"""Files that torch.save wrote: the same tensors as PyTorch reads from them, or none."""

import io
import pickle
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from addapt._errors import WeightsError
from addapt.backbones.state_file import read_state
from addapt.backbones.torch_file import open_torch_file
from tests.backbones.test_state_file import rewrite

FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["archive", "old"])
NUMBERS = torch.arange(24.0) - 11.5


def save(content: object, path: Path, zipped: bool) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=zipped)


def read_as_pytorch_does(path: Path) -> dict[str, NDArray[Any]]:
    """Read a file and compare all with what PyTorch reads."""
    state = read_state(path)
    expected: dict[str, Tensor] = torch.load(path, weights_only=True)
    assert list(state) == list(expected)
    for name, array in state.items():
        tensor = expected[name].detach()
        tensor = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
        assert array.dtype == tensor.numpy().dtype, name
        assert np.array_equal(array, tensor.numpy()), name
        assert array.dtype.isnative
    return state


@FORMATS
@pytest.mark.parametrize(
    "dtype", "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool".split()
)
def test_every_type_of_numbers(dtype: str, zipped: bool, tmp_path: Path) -> None:
    state = {"a": NUMBERS.to(getattr(torch, dtype)).reshape(4, 6), "b": torch.ones(1)}
    save(state, tmp_path / "x.pth", zipped)
    read_as_pytorch_does(tmp_path / "x.pth")


@FORMATS
def test_bfloat16_becomes_float32_exactly(zipped: bool, tmp_path: Path) -> None:
    bits = torch.arange(2**16, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    numbers = bits[~bits.isnan()]
    save({"a": numbers}, tmp_path / "x.pth", zipped)
    read = read_state(tmp_path / "x.pth")["a"]
    assert np.array_equal(read.view(np.uint32), numbers.float().numpy().view(np.uint32))


@FORMATS
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_views_and_shared_numbers(dtype: torch.dtype, zipped: bool, tmp_path: Path) -> None:
    a = NUMBERS.to(dtype).reshape(4, 6)
    state = {
        "whole": a,
        "again": a,
        "transposed": a.t(),
        "part": a[1:3, 2::2],
        "last": a[3, 5],
        "expanded": a[2, :1].expand(3, 5),
        "channels last": NUMBERS.reshape(1, 4, 2, 3).to(memory_format=torch.channels_last),
        "none": a[:0],
        "of none": torch.empty(0, dtype=dtype),
        "scalar": torch.tensor(2.5),
        "parameter": nn.Parameter(a[1:]),
    }
    save(state, tmp_path / "x.pth", zipped)
    read_as_pytorch_does(tmp_path / "x.pth")


@FORMATS
def test_state_dicts_of_networks_and_whole_checkpoints(zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))
    network[2].to(torch.float16)
    save(network.state_dict(), path, zipped)  # which has notes of its versions
    assert read_as_pytorch_does(path).keys() == network.state_dict().keys()
    optimiser = torch.optim.AdamW(network.parameters())
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, [2, 3])  # which has a Counter
    content = {
        "epoch": 3,
        "best": (0.5, None, True, [2**70, -1, 300, 70000], torch.Size([2, 3])),
        "where": torch.device("cpu"),
        "dtype": torch.float16,
        "counts": Counter("abca"),
        "options": OrderedDict(lr=0.1),
        "optimizer": optimiser.state_dict(),
        "schedule": schedule.state_dict(),
        "state_dict": network.state_dict(),
    }
    save(content, path, zipped)
    read = read_state(path)
    assert read.keys() == network.state_dict().keys()
    assert np.array_equal(read["0.weight"], network.state_dict()["0.weight"].numpy())


@FORMATS
def test_numbers_are_mapped_and_not_read(zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    save({"a": NUMBERS, "b": NUMBERS.clone()}, path, zipped)
    file = open_torch_file(path)
    array = file.array(file.content["b"])
    assert np.shares_memory(array, np.frombuffer(file.mapped, np.uint8))
    assert not array.flags.writeable
    assert array.flags.aligned or not zipped
    del file
    path.unlink()  # what is mapped stays
    assert np.array_equal(array, NUMBERS.numpy())


def big_endian(archive: zipfile.ZipFile, member: zipfile.ZipInfo, content: bytes) -> None:
    name = member.filename
    if name.endswith("/byteorder"):
        content = b"big"
    elif "/data/" in name:
        content = (
            np.frombuffer(content, f"<u{4 if name.endswith('/0') else 2}").byteswap().tobytes()
        )
    archive.writestr(name, content)


def test_archives_of_big_endian_machines(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    state = {"a": NUMBERS, "b": NUMBERS.bfloat16(), "c": NUMBERS.half()}
    torch.save(state, path)
    rewrite(path, big_endian)
    read = read_as_pytorch_does(path)
    assert np.array_equal(read["a"], NUMBERS.numpy())


def test_an_unknown_order_of_bytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"a": NUMBERS}, path)

    def middle(archive: zipfile.ZipFile, member: zipfile.ZipInfo, content: bytes) -> None:
        is_order = member.filename.endswith("/byteorder")
        archive.writestr(member.filename, b"middle" if is_order else content)

    rewrite(path, middle)
    with pytest.raises(WeightsError, match="in which order the bytes"):
        read_state(path)


def test_archives_without_an_order_of_bytes_are_little_endian(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"a": NUMBERS}, path)

    def without(archive: zipfile.ZipFile, member: zipfile.ZipInfo, content: bytes) -> None:
        if not member.filename.endswith("/byteorder"):  # as before torch 2.1
            archive.writestr(member.filename, content)

    rewrite(path, without)
    assert np.array_equal(read_as_pytorch_does(path)["a"], NUMBERS.numpy())


class Persistent:
    """What a pickle refers to by a tuple of its own making."""

    def __init__(self, *words: object) -> None:
        self.words = words


class Rebuilt:
    """A tensor made of whatever arguments."""

    def __init__(self, *arguments: object) -> None:
        self.arguments = arguments

    def __reduce__(self) -> tuple[object, ...]:
        return torch._utils._rebuild_tensor_v2, self.arguments


class Pickler(pickle.Pickler):
    zipped = True

    def persistent_id(self, value: object) -> object:
        if not isinstance(value, Persistent):
            return None
        # old files say for each storage that it is not a part of another
        return (*value.words, None) if len(value.words) == 5 and not self.zipped else value.words


def forge(path: Path, zipped: bool, *arguments: object) -> None:
    """Write a file of 24 numbers whose only tensor is made of other arguments."""
    save({"a": NUMBERS}, path, zipped)
    stream = io.BytesIO()
    pickler = Pickler(stream, 2)
    pickler.zipped = zipped
    pickler.dump({"a": Rebuilt(*arguments)})

    def forged(archive: zipfile.ZipFile, member: zipfile.ZipInfo, content: bytes) -> None:
        is_list = member.filename.endswith("/data.pkl")
        archive.writestr(member.filename, stream.getvalue() if is_list else content)

    if zipped:
        rewrite(path, forged)
        return
    content = path.read_bytes()
    original = io.BytesIO(content)
    for _ in range(3):
        pickle.load(original)
    start = original.tell()
    key = next(iter(open_torch_file(path).places))
    tail = pickle.dumps([key], 2)
    end = content.index(tail)
    forged_pickle = stream.getvalue().replace(b"\x01\x00\x00\x000", _text(key))
    path.write_bytes(content[:start] + forged_pickle + content[end:])


def _text(key: str) -> bytes:
    return len(key).to_bytes(4, "little") + key.encode()


def storage(count: int = 24, key: str = "0", kind: type = torch.FloatStorage) -> Persistent:
    return Persistent("storage", kind, key, "cpu", count)


HOOKS: tuple[object, ...] = (False, OrderedDict())


@FORMATS
def test_a_forged_tensor_that_is_right_is_read(zipped: bool, tmp_path: Path) -> None:
    """What the cases below change is what they are refused for."""
    forge(tmp_path / "x.pth", zipped, storage(), 2, (3, 4), (6, 2), *HOOKS)
    read = read_as_pytorch_does(tmp_path / "x.pth")["a"]
    assert np.array_equal(read, NUMBERS.as_strided((3, 4), (6, 2), 2).numpy())


@FORMATS
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((storage(), 0, (25,), (1,)), "beyond the numbers"),
        ((storage(), 24, (1,), (1,)), "beyond the numbers"),
        ((storage(), 24, (), ()), "beyond the numbers"),
        ((storage(), 1, (4, 6), (6, 1)), "beyond the numbers"),
        ((storage(), 0, (2,), (2**62,)), "beyond the numbers"),
        ((storage(), 2**64, (2,), (1,)), "beyond the numbers"),
        ((storage(), 0, (2**40, 2**40), (0, 0)), "cannot be read"),
        ((storage(), -1, (2,), (1,)), "a negative side, step or offset"),
        ((storage(), 0, (-2,), (1,)), "a negative side, step or offset"),
        ((storage(), 23, (2,), (-1,)), "a negative side, step or offset"),
        ((storage(), 0, (2,), (1, 1)), "a negative side, step or offset"),
        ((storage(), 0.0, (2,), (1,)), "list of tensors is damaged"),
        ((storage(), True, (2,), (1,)), "list of tensors is damaged"),
        ((storage(), 0, [2], (1,)), "list of tensors is damaged"),
        ((storage(), 0, ("2",), (1,)), "list of tensors is damaged"),
        ((storage(), 0), "list of tensors is damaged"),
        (("0", 0, (2,), (1,)), "list of tensors is damaged"),
        ((storage(count=25), 0, (2,), (1,)), "not hold as many|ends before"),
        ((storage(count=2**61), 0, (2,), (1,)), "not hold as many|ends before"),
        ((storage(count=-24), 0, (2,), (1,)), "in a way that"),
        ((storage(kind=torch.DoubleStorage), 0, (2,), (1,)), "not hold as many|ends before"),
        ((storage(key="1"), 0, (2,), (1,)), "not hold as many|numbers of no tensor"),
        ((storage(key="../data.pkl"), 0, (2,), (1,)), "not hold as many|numbers of no tensor"),
        ((Persistent("module", 0, 0, 0, 0), 0, (2,), (1,)), "damaged"),
        ((Persistent("storage", torch.FloatStorage), 0, (2,), (1,)), "damaged"),
        ((Persistent("storage", torch.Size, "0", "cpu", 24), 0, (2,), (1,)), "in a way that"),
        ((Persistent("storage", torch.FloatStorage, "0", "cpu", 24, ("0", 1, 2)), 0, (2,), (1,)),
         "in a way that"),
        ((storage(), 0, (24,), (1,), *HOOKS, {"neg": True}), "the conjugate or the negative"),
    ],
)  # fmt: skip
def test_tensors_that_are_not_what_they_seem(
    arguments: tuple[object, ...], reason: str, zipped: bool, tmp_path: Path
) -> None:
    forge(tmp_path / "x.pth", zipped, *arguments)
    with pytest.raises(WeightsError, match=reason):
        read_state(tmp_path / "x.pth")


def test_one_storage_is_of_one_kind(tmp_path: Path) -> None:
    both = [Rebuilt(storage(count, kind=kind), 0, (2,), (1,), *HOOKS)
            for count, kind in ((24, torch.FloatStorage), (12, torch.DoubleStorage))]  # fmt: skip
    forge(tmp_path / "x.pth", True, storage(), 0, (2,), (1,), False, OrderedDict(x=both))
    with pytest.raises(WeightsError, match="take the same numbers for different ones"):
        read_state(tmp_path / "x.pth")


@pytest.mark.parametrize("count", [0, 23, 25, 2**60, 2**64 - 1])
def test_old_files_whose_lengths_are_wrong(count: int, tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    save({"a": NUMBERS}, path, zipped=False)
    content = path.read_bytes()
    start = len(content) - NUMBERS.nbytes - 8
    assert int.from_bytes(content[start : start + 8], "little") == 24
    path.write_bytes(content[:start] + count.to_bytes(8, "little") + content[start + 8 :])
    with pytest.raises(WeightsError, match="not hold as many|ends before its numbers"):
        read_state(path)


def test_parts_of_an_archive_whose_directory_points_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"a": NUMBERS}, path)
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/data/0")).encode()
        start = archive.getinfo(name.decode()).header_offset
    entry = content.rindex(name) - 46  # in the directory at the end
    offset = slice(entry + 42, entry + 46)
    assert int.from_bytes(content[offset], "little") == start
    for wrong in (start + 1, len(content) - 10, 2**31):
        path.write_bytes(
            content[: offset.start] + wrong.to_bytes(4, "little") + content[offset.stop :]
        )
        with pytest.raises(WeightsError, match=r"x\.pth cannot be read"):
            read_state(path)
