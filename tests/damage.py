"""Files as a dying disk or a stranger makes them, from a valid safetensors file of addapt's.

Most damages would only be stopped by the checksum. A stranger writes a right one, so damaged
files are sealed anew, too, to meet the checks that lie behind.
"""

import contextlib
import json
import math
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from addapt.domains.header import LENGTH_BYTES, METADATA, checksum, tensor_place

Json = Any

# The same examples each time, ADDAPT_FUZZ of them; how long one takes is the judge's to say.
FUZZ = settings(
    max_examples=int(os.environ.get("ADDAPT_FUZZ", "100")),
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)

CHECKSUM = "sha256"
_BAD_FLOATS = (float("nan"), float("inf"), float("-inf"))
_NUMBERS = st.sampled_from([-1, 0, 1, 2, 3, 255, 10**9, 2**31, 2**53 + 1, 2**63, 10**30, 10**400])
_STRANGE = ["../../etc/passwd", "\x1b[2J", "a\0b", "\u202egpj", "\udc80", "é" * 300]
_TEXTS = st.sampled_from(["", "x", "da3", "head", *_STRANGE])
JSON_VALUES: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | _NUMBERS | st.floats() | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=4,
)
_TYPES = st.sampled_from(["F32", "F16", "BF16", "F64", "I64", "U8", "BOOL", "F8_E4M3", "X", ""])


@dataclass(frozen=True)
class Original:
    """A valid file."""

    content: bytes = field(repr=False)


@dataclass(frozen=True)
class Damage:
    """What has become of a file, what was done to it, and whether it was sealed anew."""

    content: bytes = field(repr=False)
    sealed: bool
    how: tuple[str, ...]


class Parts:
    """A safetensors file taken apart: its header, which may become any JSON, and its data."""

    def __init__(self, original: Original) -> None:
        content = original.content
        data_start = LENGTH_BYTES + int.from_bytes(content[:LENGTH_BYTES], "little")
        self.header: dict[str, Json] = json.loads(content[LENGTH_BYTES:data_start])
        self.data = bytearray(content[data_start:])
        texts = self.header[METADATA]
        self.key = next(key for key in texts if key.startswith("addapt"))  # of our description
        self.description: Json = json.loads(texts[self.key])

    @property
    def names(self) -> list[str]:
        """Return the names of the tensors."""
        return sorted(name for name in self.header if name != METADATA)

    def write_description(self, text: str | None = None) -> None:
        """Put the description into the header."""
        text = json.dumps(self.description) if text is None else text
        self.header[METADATA][self.key] = text

    def seal(self) -> None:
        """Give it a right checksum, as far as there can be one."""
        with contextlib.suppress(ValueError, TypeError, AttributeError, KeyError):
            places = {name: tensor_place(self.header[name]) for name in self.names}
            texts = self.header[METADATA]
            texts[CHECKSUM] = checksum(texts[self.key], places, self.data)

    def content(self) -> bytes:
        """Put it together again."""
        return assemble(json.dumps(self.header).encode(), bytes(self.data))


def assemble(header: bytes, data: bytes = b"") -> bytes:
    """Make a file of a header, which need not be any, and tensors' bytes."""
    return len(header).to_bytes(LENGTH_BYTES, "little") + header + data


@st.composite
def damages(draw: st.DrawFn, original: Original) -> Damage:
    """Draw what may become of a file."""
    if draw(st.booleans()):
        kind = draw(st.sampled_from(_DECAYS))
        return Damage(draw(_decayed(original.content, kind)), sealed=False, how=(kind,))
    parts, how = Parts(original), []
    for _ in range(draw(st.integers(1, 2))):
        change = draw(st.sampled_from(_CHANGES))
        how.append(change.__name__)
        # What went before may have left nothing of the kind to change.
        with contextlib.suppress(KeyError, TypeError, AttributeError, IndexError, ValueError):
            change(draw, parts)
    sealed = draw(st.integers(0, 3)) > 0
    if sealed:
        parts.seal()
    return Damage(parts.content(), sealed, tuple(how))


_DECAYS = ("cut", "longer", "flip", "zero", "noise", "drop", "twice", "size")


@st.composite
def _decayed(draw: st.DrawFn, content: bytes, kind: str) -> bytes:
    """Draw what a disk makes of bytes: shorter, longer, flipped, zeroed, elsewhere."""
    place = draw(st.integers(0, len(content) - 1) | st.integers(0, min(4096, len(content) - 1)))
    size = draw(st.sampled_from([1, 2, 8, 100, 512, 4096]))
    end = min(place + size, len(content))
    if kind == "cut":
        return content[:place]
    if kind == "longer":
        return content + draw(st.binary(min_size=1, max_size=64))
    if kind == "drop":
        return content[:place] + content[end:]
    if kind == "twice":
        return content[:end] + content[place:]
    if kind == "size":
        return struct.pack("<Q", draw(_SIZES)) + content[LENGTH_BYTES:]
    changed = bytearray(content)
    if kind == "flip":
        for _ in range(draw(st.integers(1, 4))):
            bit = draw(st.integers(0, 8 * len(content) - 1) | st.integers(0, 8 * 4095))
            changed[bit // 8 % len(content)] ^= 1 << bit % 8
    elif kind == "zero":
        changed[place:end] = bytes(end - place)
    else:
        changed[place:end] = draw(st.binary(min_size=end - place, max_size=end - place))
    return bytes(changed)


_SIZES = st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, 8, 10**6, 10**6 + 1, 2**31, 2**63])


def _change_field(draw: st.DrawFn, parts: Parts) -> None:
    """Replace a value somewhere in the description."""
    table = parts.description
    while True:
        field = draw(st.sampled_from(sorted(table)))
        if not (isinstance(table[field], dict) and table[field] and draw(st.booleans())):
            break
        table = table[field]
    table[field] = draw(JSON_VALUES)
    parts.write_description()


def _drop_field(draw: st.DrawFn, parts: Parts) -> None:
    del parts.description[draw(st.sampled_from(sorted(parts.description)))]
    parts.write_description()


def _replace_description(draw: st.DrawFn, parts: Parts) -> None:
    parts.write_description(json.dumps(draw(JSON_VALUES)) if draw(st.booleans()) else draw(_TEXTS))


def _change_texts(draw: st.DrawFn, parts: Parts) -> None:
    name = draw(st.sampled_from([parts.key, CHECKSUM, "format", "other"]))
    parts.header[METADATA][name] = draw(JSON_VALUES)


def _replace_texts(draw: st.DrawFn, parts: Parts) -> None:
    parts.header[METADATA] = draw(JSON_VALUES)


def _change_shape(draw: st.DrawFn, parts: Parts) -> None:
    entry = parts.header[draw(st.sampled_from(parts.names))]
    shape = list(entry["shape"])
    kind = draw(st.sampled_from(["reverse", "flatten", "one more", "number", "any"]))
    if kind == "reverse":
        entry["shape"] = shape[::-1]
    elif kind == "flatten":
        entry["shape"] = [math.prod(shape)]
    elif kind == "one more":
        entry["shape"] = [1, *shape]
    elif kind == "number":
        shape[draw(st.integers(0, len(shape) - 1))] = draw(_NUMBERS)
        entry["shape"] = shape
    else:
        entry["shape"] = draw(JSON_VALUES)


def _change_offsets(draw: st.DrawFn, parts: Parts) -> None:
    entry, other = (parts.header[draw(st.sampled_from(parts.names))] for _ in range(2))
    if draw(st.booleans()):
        entry["data_offsets"] = list(other["data_offsets"])
    else:
        entry["data_offsets"][draw(st.integers(0, 1))] += draw(st.sampled_from([-8, -4, 4, 10**12]))


def _change_type(draw: st.DrawFn, parts: Parts) -> None:
    parts.header[draw(st.sampled_from(parts.names))]["dtype"] = draw(_TYPES | JSON_VALUES)


def _change_entry(draw: st.DrawFn, parts: Parts) -> None:
    parts.header[draw(st.sampled_from(parts.names))] = draw(JSON_VALUES)


def _rename_tensor(draw: st.DrawFn, parts: Parts) -> None:
    name = draw(st.sampled_from(parts.names))
    parts.header[draw(_TEXTS | st.just(name + ".x"))] = parts.header.pop(name)


def _swap_tensors(draw: st.DrawFn, parts: Parts) -> None:
    one, two = (draw(st.sampled_from(parts.names)) for _ in range(2))
    parts.header[one], parts.header[two] = parts.header[two], parts.header[one]


def _drop_tensor(draw: st.DrawFn, parts: Parts) -> None:
    """Take the last one away, wholly, so that only its absence is wrong."""
    last = max(parts.names, key=lambda name: parts.header[name]["data_offsets"])
    del parts.data[parts.header.pop(last)["data_offsets"][0] :]


def _add_tensor(draw: st.DrawFn, parts: Parts) -> None:
    start, size = len(parts.data), draw(st.integers(0, 3))
    entry = {"dtype": "F32", "shape": [size], "data_offsets": [start, start + 4 * size]}
    parts.header[draw(_TEXTS | st.just("head.extra"))] = entry
    parts.data += bytes(4 * size)


def _spoil_value(draw: st.DrawFn, parts: Parts) -> None:
    places = [parts.header[name] for name in parts.names]
    entry = draw(st.sampled_from([place for place in places if place["dtype"] == "F32"]))
    start, end = entry["data_offsets"]
    at = start + 4 * draw(st.integers(0, (end - start) // 4 - 1))
    parts.data[at : at + 4] = struct.pack("<f", draw(st.sampled_from(_BAD_FLOATS)))


_CHANGES: tuple[Callable[[st.DrawFn, Parts], None], ...] = (
    _change_field,
    _change_field,
    _drop_field,
    _replace_description,
    _change_texts,
    _replace_texts,
    _change_shape,
    _change_offsets,
    _change_type,
    _change_entry,
    _rename_tensor,
    _swap_tensors,
    _drop_tensor,
    _add_tensor,
    _spoil_value,
)
