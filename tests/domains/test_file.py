"""One domain, one file: whole or not at all, and the same bytes for the same domain."""

import dataclasses
import errno
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

import addapt.domains
from addapt._disk import disk_reason
from addapt._errors import DamagedError, DomainError
from addapt.domains.file import open_domain, read_domain, read_info
from addapt.domains.file import write_domain as write
from addapt.domains.header import HEADER_LIMIT_BYTES
from addapt.domains.info import SCHEMA
from tests.domains.domain_cases import INFO, tensors

GOLDEN = Path(__file__).with_name("golden_schema_1.safetensors")  # written in November 2026
DTYPES = st.sampled_from(
    [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8]
)
SHAPES = st.lists(st.integers(0, 3), max_size=4).map(tuple)


def assert_same(read: dict[str, Tensor], written: dict[str, Tensor]) -> None:
    assert read.keys() == written.keys()
    for name, tensor in written.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name], tensor.detach())
        assert not read[name].requires_grad


def test_round_trip_of_hard_tensors(tmp_path: Path) -> None:
    write(tmp_path / "a.safetensors", INFO, tensors())
    info, read = read_domain(tmp_path / "a.safetensors")
    assert info == INFO == read_info(tmp_path / "a.safetensors")
    assert_same(read, tensors())


@settings(max_examples=50)
@given(
    kinds=st.dictionaries(
        st.text(min_size=1).filter(lambda name: name != "__metadata__" and _can_be_utf8(name)),
        st.tuples(SHAPES, DTYPES),
        max_size=4,
    )
)
def test_round_trip(kinds: dict[str, tuple[tuple[int, ...], torch.dtype]]) -> None:
    written = {
        name: torch.randint(0, 100, shape).to(dtype) for name, (shape, dtype) in kinds.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.safetensors")
        write(path, INFO, written)
        info, read = read_domain(path)
    assert info == INFO
    assert_same(read, written)


def _can_be_utf8(name: str) -> bool:
    return name.encode(errors="ignore").decode() == name


def test_other_programs_can_read_it(tmp_path: Path) -> None:
    write(tmp_path / "a.safetensors", INFO, tensors())
    with safe_open(tmp_path / "a.safetensors", framework="pt") as file:
        texts = file.metadata()
        assert len(texts.pop("sha256")) == 64
        assert texts == {"addapt": INFO.to_json(), "format": "pt"}
        assert set(file.keys()) == set(tensors())


def test_same_domain_same_bytes(tmp_path: Path) -> None:
    backwards = dict(reversed(tensors().items()))
    for i in range(10):  # enough to meet another random order of texts
        write(tmp_path / f"{i}", INFO, backwards if i % 2 else tensors())
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("before", [True, False])
def test_a_failed_write_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, before: bool
) -> None:
    path = tmp_path / "a.safetensors"
    if before:
        write(path, INFO, tensors())
    files = {file: file.read_bytes() for file in tmp_path.iterdir()}

    def fail(*args: object) -> None:
        assert len(list(tmp_path.iterdir())) == len(files) + 1  # the temporary file is here
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os if step == "fsync" else Path, step, fail)
    with pytest.raises(DomainError, match="a.safetensors could not be written because the disk is"):
        write(path, INFO, {"other": torch.ones(1)})
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == files


def test_an_interrupted_write_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "a.safetensors", INFO, tensors())
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_synced_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, calls = os.fsync, []

    def files_only(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 1:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", files_only)
    write(tmp_path / "a.safetensors", INFO, tensors())
    assert len(calls) == 2
    assert read_info(tmp_path / "a.safetensors") == INFO


def test_nowhere_to_write(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DomainError, match="no such file or folder: check the path"):
        write(tmp_path / "missing" / "a.safetensors", INFO, tensors())
    with pytest.raises(DomainError, match="is a file, not a folder: choose another folder"):
        write(tmp_path / "file" / "a.safetensors", INFO, tensors())


def test_too_long_a_description_is_not_written(tmp_path: Path) -> None:
    info = dataclasses.replace(INFO, options={"x": "x" * HEADER_LIMIT_BYTES})
    with pytest.raises(DomainError, match="Use fewer classes"):
        write(tmp_path / "a.safetensors", info, {})
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_missing_or_a_folder(tmp_path: Path) -> None:
    for read in (read_info, read_domain):
        with pytest.raises(DomainError, match="a.safetensors could not be read because"):
            read(tmp_path / "a.safetensors")
        with pytest.raises(DomainError, match="could not be read because"):
            read(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"short",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        (3).to_bytes(8, "little") + b"[1]",
        (3).to_bytes(8, "little") + b"\xff\xfe\xfd",
        (99).to_bytes(8, "little") + b"{}",
        (HEADER_LIMIT_BYTES + 8).to_bytes(8, "little") + b"{}" + b" " * (HEADER_LIMIT_BYTES + 6),
    ],
)
def test_other_files_are_not_domains(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    for read in (read_info, read_domain):
        with pytest.raises(DomainError, match="not a domain: it is no safetensors file"):
            read(path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_other_safetensors_are_not_domains(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(save(tensors_of_another_program(), metadata))
    with pytest.raises(DomainError, match="addapt did not write it"):
        read_info(path)


def tensors_of_another_program() -> dict[str, Tensor]:
    return {"w": torch.ones(2)}


def test_a_newer_schema_is_named_with_the_file(tmp_path: Path) -> None:
    values = json.loads(INFO.to_json()) | {"schema": SCHEMA + 1}
    path = tmp_path / "a.safetensors"
    path.write_bytes(save(tensors_of_another_program(), {"addapt": json.dumps(values)}))
    with pytest.raises(
        DomainError, match="a.safetensors cannot be used. Written by a newer addapt"
    ):
        read_domain(path)


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    write(whole, INFO, {"w": torch.ones(3)})
    content = whole.read_bytes()
    for size in [*range(0, len(content), 97), len(content) - 1]:
        cut.write_bytes(content[:size])
        with pytest.raises(DomainError, match="cut is"):
            read_domain(cut)


def test_every_changed_byte_is_noticed(tmp_path: Path) -> None:
    whole, changed = tmp_path / "whole", tmp_path / "changed"
    write(whole, INFO, {"w": torch.ones(3), "n": torch.arange(5)})
    content = whole.read_bytes()
    header_end = 8 + int.from_bytes(content[:8], "little")
    note = content.index(b'"format":"pt"')  # for other programs, and without meaning for this one
    unread = {*range(note, note + 13), *range(content.rindex(b"}", 0, header_end), header_end)}
    for place in sorted({*range(0, header_end, 13), *range(header_end, len(content))} - unread):
        changed.write_bytes(
            content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :],
        )
        with pytest.raises(DomainError):
            read_domain(changed)


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    for value in (float("nan"), float("inf")):
        write(tmp_path / "a", INFO, {"w": torch.tensor([1, value]), "n": torch.arange(2)})
        with pytest.raises(DamagedError, match="tensor 'w' holds values that are infinite or not"):
            read_domain(tmp_path / "a")


def test_a_file_must_have_the_checksum_from_schema_4_on(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for schema in (3, 4):
        info = dataclasses.replace(INFO, schema=schema)
        path.write_bytes(save(tensors_of_another_program(), {"addapt": info.to_json()}))
        if schema == 3:
            assert torch.equal(read_domain(path)[1]["w"], torch.ones(2))
            continue
        with pytest.raises(DamagedError, match="its checksum is missing"):
            read_domain(path)


def test_a_wrong_checksum_is_wrong_in_older_files_too(tmp_path: Path) -> None:
    texts = {"addapt": dataclasses.replace(INFO, schema=3).to_json(), "sha256": "0" * 64}
    (tmp_path / "a").write_bytes(save(tensors_of_another_program(), texts))
    with pytest.raises(DamagedError, match="its checksum is wrong"):
        read_domain(tmp_path / "a")


def test_a_file_from_before_there_were_checksums() -> None:
    info, read = read_domain(GOLDEN)
    assert (info.schema, info.method, info.classes) == (1, "head", ("cat", "dog"))
    assert torch.equal(read["head.weight"], torch.arange(24.0).view(2, 12) / 8 - 1)
    assert torch.equal(read["head.bias"], torch.tensor([-0.5, 0.25]))


def test_a_reader_keeps_to_the_version_it_opened(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write(path, INFO, {"w": torch.zeros(100)})
    with open_domain(path) as file:
        write(path, dataclasses.replace(INFO, seed=7), {"w": torch.ones(3)})
        assert file.info == INFO
        assert file.tensors["w"].shape == (100,)
        assert torch.equal(file.read()["w"], torch.zeros(100))
    assert read_info(path).seed == 7


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write(path, INFO, {"w": torch.zeros(100_000)})
    with open_domain(path) as file:
        os.truncate(path, path.stat().st_size - 1)
        with pytest.raises(DamagedError, match="the file ends too early"):
            file.read()


def test_unknown_disk_errors_keep_their_own_words() -> None:
    assert disk_reason(OSError(errno.EIO, "Input/output error")) == (
        "Input/output error: check the disk and try again."
    )
    assert "read-only: choose another folder" in disk_reason(OSError(errno.EROFS, "x"))


def test_listing_needs_no_torch(tmp_path: Path) -> None:
    write(tmp_path / "a.safetensors", INFO, tensors())
    # a bare parent package, so that only this folder's own imports count
    package = Path(next(iter(addapt.domains.__path__))).parent
    code = f"""
import sys, types
addapt = types.ModuleType("addapt")
addapt.__path__ = [{str(package)!r}]
sys.modules["addapt"] = addapt
from addapt.domains.store import Store
print(Store({str(tmp_path)!r}).info("a").backbone)
print(sorted({{"torch", "numpy"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["efficientnet_lite0", "[]", ""]
