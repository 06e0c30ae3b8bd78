"""A file with a checksum is one that safetensors itself reads, and comes back as it was."""

import hashlib
import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from addapt.domains.header import METADATA, read_header
from addapt.domains.sealed import seal, unseal

SHARED = np.arange(6, dtype=np.float32).reshape(2, 3)
TENSORS = {
    "whole": np.array([[1, -2]]),
    "byte": np.array([0, 255, 7], np.uint8),
    "half": np.array([1.5, -2], np.float16),
    "scalar": np.array(3.5),
    "none": np.empty((0, 4), np.float32),
    "shared": SHARED,
    "turned": SHARED.T,
    "channels last": np.arange(120.0).reshape(2, 4, 5, 3).transpose(0, 3, 1, 2),
    "yes": np.array([True, False]),
}
NAMES = st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda name: name != METADATA)
ARRAYS = st.builds(
    lambda shape, dtype: np.arange(np.prod(shape)).reshape(shape).astype(dtype),
    st.lists(st.integers(0, 3), max_size=4).map(tuple),
    st.sampled_from(["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "?"]),
)


@settings(max_examples=40)
@given(tensors=st.dictionaries(NAMES, ARRAYS, max_size=4))
@example(tensors=TENSORS)
def test_comes_back_here_and_in_safetensors(tensors: dict[str, NDArray[Any]]) -> None:
    content = b"".join(seal("key", "text", tensors))
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        header = read_header(file, Path())
        ours = unseal("key", header, file)
    assert header.texts["key"] == "text"
    for read in (ours, safetensors.numpy.load(content)):
        assert read.keys() == tensors.keys()
        for name, tensor in tensors.items():
            np.testing.assert_array_equal(read[name], tensor, strict=True)
    assert all(tensor.flags.writeable for tensor in ours.values())
    if header.data_bytes:
        with pytest.raises(ValueError, match="ends too early"):
            unseal("key", header, io.BytesIO(content[:-1]))


def test_bytes_are_the_same_in_every_version() -> None:
    """Equal runs of two versions shall give equal files."""
    sealed = seal("key", "text", TENSORS)
    assert hashlib.sha256(b"".join(sealed)).hexdigest() == (
        "c3c0a8c7e452be84fb796cb250a3f17c5620594f5ceb64785bd6e75cc8cbce02"
    )
    assert seal("key", "text", dict(reversed(TENSORS.items()))) == sealed
    assert seal("key", "texts", TENSORS) != sealed
