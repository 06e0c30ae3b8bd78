"""The head of a file is refused before anything of the size that it claims is allocated."""

import json
from pathlib import Path
from typing import Any

import pytest

from addapt._errors import DamagedError
from addapt.domains.header import (
    DIMENSIONS_LIMIT,
    HEADER_LIMIT_BYTES,
    TensorPlace,
    checksum,
    read_header,
)


def entry(dtype: Any, shape: Any, start: Any, end: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def with_length(header: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header


def write(path: Path, header: Any, data_bytes: int = 0) -> Path:
    path.write_bytes(with_length(json.dumps(header).encode()) + bytes(data_bytes))
    return path


def read(path: Path) -> Any:
    with path.open("rb") as file:
        return read_header(file, path)


def test_a_whole_header(tmp_path: Path) -> None:
    entries = {"b": entry("F32", [2, 3], 0, 24), "a": entry("U8", [5], 24, 29)}
    path = write(tmp_path / "f", {"__metadata__": {"x": "y"}, **entries}, 29)
    header = read(path)
    assert header.texts == {"x": "y"}
    assert header.tensors == {
        "b": TensorPlace("float32", (2, 3), 0, 24),
        "a": TensorPlace("uint8", (5,), 24, 29),
    }
    assert header.bytes + header.data_bytes == path.stat().st_size

    entries = {"a": entry("F64", [], 0, 8), "b": entry("I64", [0, 7], 8, 8)}
    assert read(write(tmp_path / "f", entries, 8)).tensors["b"].shape == (0, 7)
    assert read(write(tmp_path / "g", {})).data_bytes == 0


@pytest.mark.parametrize(
    ("entries", "data_bytes", "message"),
    [
        ({"a": entry("F32", [2], 0, 8)}, 7, "the file has 7 bytes of tensors and should have 8"),
        ({"a": entry("F32", [2], 0, 8)}, 9, "as if it had been cut off or added to"),
        ({}, 1, "should have 0"),
        ({"a": entry("F32", [2], 1, 9)}, 9, "gaps"),
        ({"a": entry("U8", [4], 0, 4), "b": entry("U8", [4], 3, 7)}, 7, "overlap"),
        ({"a": entry("U8", [4], 0, 4), "b": entry("U8", [4], 5, 9)}, 9, "gaps"),
        ({"a": entry("F32", [2**62, 4], 0, 0)}, 0, "do not agree"),
        ({"a": entry("F32", [2], 8, 0)}, 8, "do not agree"),
        ({"a": entry("F32", [-2], 0, -8)}, 8, "list of sizes"),
        ({"a": entry("F32", [True], 0, 4)}, 4, "list of sizes"),
        ({"a": entry("F32", [2**63], 0, 8)}, 8, "list of sizes"),
        ({"a": entry("U8", [1] * (DIMENSIONS_LIMIT + 1), 0, 1)}, 1, "short list of sizes"),
        ({"a": entry("F32", [2], None, 8)}, 8, "pair of numbers"),
        ({"a": {"dtype": "F32", "shape": [0], "data_offsets": [0]}}, 0, "pair of numbers"),
        ({"a": entry("F7", [0], 0, 0)}, 0, "type is unknown"),
        ({"a": entry(["F32"], [0], 0, 0)}, 0, "type is unknown"),
        ({"a": {"dtype": "F32", "shape": [0]}}, 0, "lacks its type, shape or place"),
        ({"a": {**entry("F32", [0], 0, 0), "more": 1}}, 0, "lacks its type, shape or place"),
        ({"a": None}, 0, "lacks its type"),
    ],
)
def test_tables_that_make_no_sense(
    tmp_path: Path, entries: dict[str, Any], data_bytes: int, message: str
) -> None:
    with pytest.raises(DamagedError, match=message) as caught:
        read(write(tmp_path / "f", entries, data_bytes))
    assert str(caught.value).startswith(f"{tmp_path / 'f'} is damaged, its table of tensors")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"short",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        (500_000).to_bytes(8, "little") + b"{}",
        *map(
            with_length,
            [
                b"[]",
                b"\xff\xfe\xfd",
                b'{"a": 1, "a": 1}',
                b'{"__metadata__": {"x": "1", "x": "2"}}',
                b'{"__metadata__": {"x": 1}}',
                b'{"__metadata__": []}',
                b"{" + b" " * HEADER_LIMIT_BYTES + b"}",
                b'{"a": ' + b"[" * 100_000,
            ],
        ),
    ],
    ids=lambda content: repr(content[:30]),
)
def test_files_without_a_header(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(DamagedError, match="no safetensors file, or it is damaged"):
        read(tmp_path / "f")


def test_the_checksum_covers_text_table_and_bytes() -> None:
    place = TensorPlace("float32", (2, 1), 0, 8)
    data = bytearray(range(8))
    one = checksum("text", {"a": place}, data)
    assert one == checksum("text", {"a": place}, memoryview(data))
    others = {
        checksum("texs", {"a": place}, data),
        checksum("text", {"b": place}, data),
        checksum("text", {"a": TensorPlace("float32", (1, 2), 0, 8)}, data),
        checksum("text", {"a": TensorPlace("int32", (2, 1), 0, 8)}, data),
        checksum("text", {"a": place}, data[:-1] + b"\0"),
    }
    assert len(others - {one}) == 5
    assert checksum("\udc80", {}, bytearray()) != checksum("", {}, bytearray())
