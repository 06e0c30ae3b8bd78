"""One domain, one file: whole or not at all, and the same bytes for the same domain."""

import dataclasses
import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save

from addapt._errors import DamagedError, DomainError
from addapt.domains.file import open_domain, read_domain, read_info
from addapt.domains.file import write_domain as write
from addapt.domains.header import HEADER_LIMIT_BYTES
from addapt.domains.info import SCHEMA
from tests.domains.domain_cases import INFO, tensors

GOLDEN = Path(__file__).with_name("golden_schema_1.safetensors")  # written in November 2026
PLAIN = {"w": np.ones(2)}


def test_a_domain_comes_back_and_other_programs_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write(path, INFO, tensors())
    info, read = read_domain(path)
    assert info == INFO == read_info(path)
    for name, tensor in tensors().items():
        np.testing.assert_array_equal(read[name], tensor, strict=True)
    with safe_open(path, framework="np") as file:
        texts = file.metadata()
        assert len(texts.pop("sha256")) == 64
        assert texts == {"addapt": INFO.to_json(), "format": "pt"}
        assert set(file.keys()) == read.keys() == tensors().keys()


def test_an_interrupted_write_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "a.safetensors", INFO, tensors())
    assert list(tmp_path.iterdir()) == []


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


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    (tmp_path / "folder").mkdir()
    for name, reason in (
        ("missing", "no such file"),
        ("circle", ".*"),
        ("folder", "it is a folder"),
    ):
        for read in (read_info, read_domain):
            with pytest.raises(DomainError, match=f"{name} could not be read because .*{reason}"):
                read(tmp_path / name)


def test_other_files_are_named(tmp_path: Path) -> None:
    newer = json.dumps(json.loads(INFO.to_json()) | {"schema": SCHEMA + 1})
    for metadata, message in (
        (None, "a is .* addapt did not write it"),
        ({"format": "pt"}, "a is .* addapt did not write it"),
        ({"addapt": newer}, "a cannot be used. Written by a newer addapt"),
    ):
        (tmp_path / "a").write_bytes(save(PLAIN, metadata))
        with pytest.raises(DomainError, match=message):
            read_info(tmp_path / "a")


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    write(whole, INFO, {"w": np.ones(3)})
    content = whole.read_bytes()
    for size in [*range(0, len(content), 149), len(content) - 1]:
        cut.write_bytes(content[:size])
        with pytest.raises(DomainError, match="cut is"):
            read_domain(cut)


def test_every_changed_byte_is_noticed(tmp_path: Path) -> None:
    whole, changed = tmp_path / "whole", tmp_path / "changed"
    write(whole, INFO, {"w": np.ones(3), "n": np.arange(5)})
    content = whole.read_bytes()
    header_end = 8 + int.from_bytes(content[:8], "little")
    note = content.index(b'"format":"pt"')  # for other programs, and without meaning for this one
    unread = {*range(note, note + 13), *range(content.rindex(b"}", 0, header_end), header_end)}
    for place in sorted({*range(0, header_end, 29), *range(header_end, len(content))} - unread):
        changed.write_bytes(
            content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :],
        )
        with pytest.raises(DomainError):
            read_domain(changed)


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    for value in (float("nan"), float("inf")):
        write(tmp_path / "a", INFO, {"w": np.array([1, value]), "n": np.arange(2)})
        with pytest.raises(DamagedError, match="tensor 'w' holds values that are infinite or not"):
            read_domain(tmp_path / "a")


def test_a_file_must_have_the_checksum_from_schema_4_on(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for schema in (3, 4):
        info = dataclasses.replace(INFO, schema=schema)
        path.write_bytes(save(PLAIN, {"addapt": info.to_json()}))
        if schema == 3:
            assert np.array_equal(read_domain(path)[1]["w"], np.ones(2))
            continue
        with pytest.raises(DamagedError, match="its checksum is missing"):
            read_domain(path)
    texts = {"addapt": dataclasses.replace(INFO, schema=3).to_json(), "sha256": "0" * 64}
    path.write_bytes(save(PLAIN, texts))  # a wrong one is wrong in older files, too
    with pytest.raises(DamagedError, match="its checksum is wrong"):
        read_domain(path)


def test_a_file_from_before_there_were_checksums() -> None:
    info, read = read_domain(GOLDEN)
    assert (info.schema, info.method, info.classes) == (1, "head", ("cat", "dog"))
    assert np.array_equal(read["head.weight"], np.arange(24.0).reshape(2, 12) / 8 - 1)
    assert np.array_equal(read["head.bias"], [-0.5, 0.25])


def test_a_reader_keeps_to_the_version_it_opened(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write(path, INFO, {"w": np.zeros(100)})
    with open_domain(path) as file:
        write(path, dataclasses.replace(INFO, seed=7), {"w": np.ones(3)})
        assert file.info == INFO
        assert file.tensors["w"].shape == (100,)
        assert np.array_equal(file.read()["w"], np.zeros(100))
    assert read_info(path).seed == 7


def test_bfloat16_is_read_as_float32(tmp_path: Path) -> None:
    """Numpy has no such type: it is the upper half of a float32."""
    values = [1.5, -2.0, 3.140625, 2.0**-130, 0.0, -1e38]
    bits = [struct.unpack("<I", struct.pack("<f", value))[0] >> 16 for value in values]
    info = dataclasses.replace(INFO, schema=3)
    entry = {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}
    header = json.dumps({"__metadata__": {"addapt": info.to_json()}, "w": entry}).encode()
    path = tmp_path / "a"
    path.write_bytes(len(header).to_bytes(8, "little") + header + struct.pack("<6H", *bits))
    with open_domain(path) as file:
        assert file.tensors["w"].dtype == "bfloat16"
        read = file.read()["w"]
    assert read.dtype == np.float32
    assert read.ravel()[:5].tolist() == values[:5]
    assert read[1, 2] == pytest.approx(values[5], rel=2**-7)
