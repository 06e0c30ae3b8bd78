"""Reading weights files, and refusing what is damaged, hostile or something else."""

import json
import os
import pickle
import random
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from addapt._errors import WeightsError
from addapt.backbones.state_file import MAX_FILE_BYTES, MAX_NAME_LENGTH, read_state
from addapt.backbones.torch_file import MAX_LISTING_BYTES

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.tensor([1.0, -1.0])}


def same(found: dict[str, NDArray[Any]], expected: dict[str, Tensor]) -> bool:
    return found.keys() == expected.keys() and all(
        found[name].dtype == expected[name].numpy().dtype
        and np.array_equal(found[name], expected[name].numpy())
        for name in expected
    )


@pytest.mark.parametrize(
    ("prefix", "suffix"),
    [("", ".pth"), ("module.", ".pt"), ("", ".bin"), ("", ".PTH"), ("module.", ".safetensors")],
)
def test_state_dicts_are_read_from_every_format(prefix: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights{suffix}"
    state = {f"{prefix}{name}": tensor for name, tensor in STATE.items()}
    (save_file if suffix == ".safetensors" else torch.save)(state, path)
    assert same(read_state(path), STATE)


def test_state_dicts_are_found(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    for content in ({"epoch": 3, "state_dict": STATE}, {"model": STATE}):
        torch.save(content, path)
        assert same(read_state(path), STATE)
    torch.save(STATE, path, _use_new_zipfile_serialization=False)
    assert same(read_state(path), STATE)
    state = {"module.a": torch.zeros(1), "b": torch.ones(1)}  # a prefix that only some names have
    torch.save(state, path)
    assert same(read_state(path), state)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([torch.zeros(1)], "a value of type list"),
        ({}, "an empty dict"),
        ({"state_dict": {}}, "an empty dict"),
        (torch.zeros(3), "a value of type Tensor"),
        ({"a": torch.zeros(1), "lr": 0.1}, "its entry 'lr' is a value of type float"),
        ({"optimizer": {"a": torch.zeros(1)}}, "its entry 'optimizer' is a dict"),
        ({7: torch.zeros(1)}, "but is a value of type int"),
    ],
)
def test_what_is_not_a_state_dict_is_refused(content: object, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    with pytest.raises(WeightsError, match=reason) as caught:
        read_state(path)
    assert str(path) in str(caught.value)
    assert "torch.save(network.state_dict(), path)" in str(caught.value)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    "content", [b"", b"not weights at all\n", b"PK\x03\x04 torn", b"\x80\x02."]
)
def test_files_of_another_kind_are_refused(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"Give a \.safetensors file") as caught:
        read_state(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_files_and_directories_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"none\.pth does not exist"):
        read_state(tmp_path / "none.pth")
    with pytest.raises(WeightsError, match="is a directory"):
        read_state(tmp_path)


class Trap:
    """Writes a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.write_text, (self.path, "code ran")


@pytest.mark.parametrize("archive", ["zip", "old torch", "plain pickle"])
def test_code_in_a_pickle_is_never_run(archive: str, tmp_path: Path) -> None:
    path, sprung = tmp_path / "weights.pth", tmp_path / "sprung"
    content = {**STATE, "trap": Trap(sprung)}
    if archive == "plain pickle":
        path.write_bytes(pickle.dumps(Trap(sprung)))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=archive == "zip")
    with pytest.raises(WeightsError, match="holds code or objects besides tensors"):
        read_state(path)
    assert not sprung.exists()


class Call:
    """Calls a function when unpickled."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[object, ...]:
        return self.call


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "content",
    [
        bytearray(3),
        torch.zeros(3).to_sparse(),
        Call(bytearray, 10**11),  # PyTorch itself would fill 100 GB with zeros
        Call(torch.Tensor, 10**9),
        Call(torch.UntypedStorage, 10**9),
    ],
    ids=["bytearray", "sparse", "zeros", "tensor", "storage"],
)
def test_pickles_that_take_memory_by_themselves(
    content: object, zipped: bool, tmp_path: Path
) -> None:
    path = tmp_path / "weights.pth"
    torch.save({**STATE, "a": content}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match="objects besides tensors"):
        read_state(path)


def rewrite(path: Path, change: Callable[[zipfile.ZipFile, zipfile.ZipInfo, bytes], None]) -> None:
    """Write the parts of an archive anew, each by `change`."""
    with zipfile.ZipFile(path) as archive:
        parts = [(member, archive.read(member)) for member in archive.infolist()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about names that are there twice
        with zipfile.ZipFile(path, "w") as archive:
            for member, content in parts:
                change(archive, member, content)


def packed(archive: zipfile.ZipFile, member: zipfile.ZipInfo, content: bytes) -> None:
    archive.writestr(member.filename, content, zipfile.ZIP_DEFLATED)


def twice(archive: zipfile.ZipFile, member: zipfile.ZipInfo, content: bytes) -> None:
    archive.writestr(member.filename, content)
    archive.writestr(member.filename.upper(), content)


def larger_than_it_is(archive: zipfile.ZipFile, member: zipfile.ZipInfo, content: bytes) -> None:
    archive.writestr(member.filename, content)
    archive.filelist[-1].file_size = 10**12


def without_a_list(archive: zipfile.ZipFile, member: zipfile.ZipInfo, content: bytes) -> None:
    if "data.pkl" not in member.filename:
        archive.writestr(member.filename, content)


def with_two_lists(archive: zipfile.ZipFile, member: zipfile.ZipInfo, content: bytes) -> None:
    archive.writestr(member.filename, content)
    if "data.pkl" in member.filename:
        archive.writestr(f"other/{member.filename}", content)


def with_many_parts(archive: zipfile.ZipFile, member: zipfile.ZipInfo, content: bytes) -> None:
    for i in range(1_200):
        archive.writestr(f"{member.filename}/{i}", b"")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (packed, "it is compressed"),
        (twice, "two parts of it have the same name"),
        (larger_than_it_is, "claims to hold more bytes than it has"),
        (without_a_list, "no list of tensors"),
        (with_two_lists, "no list of tensors, or"),
        (with_many_parts, r"should be short takes \d\d\d,\d\d\d bytes"),
    ],
)
def test_archives_that_are_not_what_they_seem(
    change: Callable[[zipfile.ZipFile, zipfile.ZipInfo, bytes], None], reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "weights.pth"
    torch.save(STATE, path)
    rewrite(path, change)
    with pytest.raises(WeightsError, match=reason):
        read_state(path)


def test_an_archive_written_anew_is_read(tmp_path: Path) -> None:
    """What the cases above change is what they are refused for."""
    path = tmp_path / "weights.pth"
    torch.save(STATE, path)
    rewrite(path, lambda archive, member, content: archive.writestr(member.filename, content))
    assert same(read_state(path), STATE)


@pytest.mark.parametrize("zipped", [True, False])
def test_lists_of_tensors_have_a_limit(zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    content = {**STATE, "notes": "x" * MAX_LISTING_BYTES}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match="cannot be read"):
        read_state(path)


def test_a_tar_archive_is_never_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    for name in ("storages", "\x80\x02.\x80\x02.\x80\x02.\x80\x02.\x80\x02."):  # or both at once
        with tarfile.open(path, "w", encoding="latin-1") as archive:
            archive.addfile(tarfile.TarInfo(name))
        with pytest.raises(WeightsError, match="was refused"):
            read_state(path)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64", "int64", "bool"])
def test_safetensors_of_every_type(dtype: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    tensor = torch.tensor([[1.0, -3.140625, 0.0]]).to(getattr(torch, dtype))
    save_file({**STATE, "c": tensor, "empty": tensor[:, :0]}, path)
    expected = tensor.float() if dtype == "bfloat16" else tensor
    assert same(read_state(path), {**STATE, "c": expected, "empty": expected[:, :0]})


def test_safetensors_of_other_types_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"a": torch.zeros(2, dtype=torch.float8_e4m3fn)}, path)
    with pytest.raises(WeightsError, match=r"its tensor a holds numbers of type F8_E4M3\. Give a"):
        read_state(path)


def safetensors(header: object, data: bytes = b"\0" * 8) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "content",
    [
        (2**63).to_bytes(8, "little") + b"{}",
        (MAX_LISTING_BYTES + 1).to_bytes(8, "little") + b" " * (MAX_LISTING_BYTES + 1),
        safetensors(b"[" * 100_000),
        safetensors(b'{"a":' * 100_000),
        safetensors({"a": ENTRY, "b": ENTRY}),  # on top of each other
        safetensors({"a": {**ENTRY, "shape": [10**9]}}),
        safetensors({"a": {**ENTRY, "shape": [2**62, 2**62]}}),
        safetensors({"a": {**ENTRY, "data_offsets": [0, 2**62]}}),
        safetensors({"a": {**ENTRY, "data_offsets": [8, 0]}}),
        safetensors({"a": {**ENTRY, "dtype": "OBJECT"}}),
        safetensors({"a": ENTRY}, b"\0" * 16),  # bytes that belong to nothing
        safetensors({"x" * (MAX_NAME_LENGTH + 1): ENTRY}),
    ],
)
def test_safetensors_that_are_not_what_they_seem(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"weights\.safetensors") as caught:
        read_state(path)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_files_too_large_and_pipes_are_refused_before_reading(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights{suffix}"
    with path.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)  # takes no space on the disk
    with pytest.raises(WeightsError, match="takes 1,000,000,001 bytes, and 1,000,000,000 are the"):
        read_state(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(WeightsError, match="is a pipe or a device"):
        read_state(path)


@pytest.mark.parametrize("kind", ["zip", "old torch", "safetensors"])
def test_damaged_files_are_read_or_refused(kind: str, tmp_path: Path) -> None:
    """Whatever a byte is changed to, there is one kind of error, or tensors."""
    whole = tmp_path / ("whole.safetensors" if kind == "safetensors" else "whole.pth")
    if kind == "safetensors":
        save_file(STATE, whole)
    else:
        torch.save(STATE, whole, _use_new_zipfile_serialization=kind == "zip")
    content = whole.read_bytes()
    rng = random.Random(0)
    refused = 0
    for i in range(200):
        damaged = bytearray(content)
        if i % 4 == 0:
            damaged = damaged[: rng.randrange(len(damaged))]
        for _ in range(min(i % 4, len(damaged))):
            damaged[rng.randrange(len(damaged))] = rng.choice([0, 255, rng.randrange(256)])
        path = tmp_path / f"{i}{whole.suffix}"
        path.write_bytes(damaged)
        try:
            state = read_state(path)
        except WeightsError as error:
            refused += 1
            assert str(path) in str(error)
        else:
            assert all(np.isfinite(array).size == array.size for array in state.values())
    assert 50 <= refused < 200
