"""A file with a checksum is one that safetensors itself reads, and comes back as it was."""

import io
from pathlib import Path

import pytest
import safetensors.torch
import torch

from addapt.domains.header import read_header
from addapt.domains.sealed import seal, unseal

SHARED = torch.arange(6.0).view(2, 3)
TENSORS = {
    "whole": torch.tensor([[1, -2]]),
    "byte": torch.tensor([0, 255, 7], dtype=torch.uint8),
    "half": torch.tensor([1.5, -2], dtype=torch.bfloat16),
    "scalar": torch.tensor(3.5, requires_grad=True),
    "none": torch.empty(0, 4),
    "shared": SHARED,
    "turned": SHARED.t(),
    "channels last": torch.rand(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
    "yes": torch.tensor([True, False]),
}


def test_safetensors_reads_it() -> None:
    read = safetensors.torch.load(b"".join(seal("key", "text", TENSORS)))
    assert read.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert torch.equal(read[name], tensor), name
        assert read[name].dtype == tensor.dtype


def test_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"".join(seal("key", "text", TENSORS)))
    with path.open("rb") as file:
        header = read_header(file, path)
        read = unseal("key", header, file)
    assert header.texts["key"] == "text"
    for name, tensor in TENSORS.items():
        assert torch.equal(read[name], tensor), name
    with pytest.raises(ValueError, match="ends too early"):
        unseal("key", header, io.BytesIO(path.read_bytes()[:-1]))


def test_order_does_not_matter() -> None:
    backwards = dict(reversed(TENSORS.items()))
    assert seal("key", "text", TENSORS) == seal("key", "text", backwards)
    assert seal("key", "text", TENSORS) != seal("key", "texts", TENSORS)
