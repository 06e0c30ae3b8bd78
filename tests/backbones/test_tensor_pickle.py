"""Pickles that ask for more than tensors, or for more of them than there is room for."""

import io
import pickle
import tracemalloc
from collections import OrderedDict

import pytest

from addapt.backbones.tensor_pickle import Named, unpickle

END = b"."


def read(content: bytes) -> object:
    return unpickle(io.BytesIO(content))[0]


def test_values_are_read_as_python_does() -> None:
    shared = [1, 2]
    value = {
        "numbers": [0, 255, 256, -1, 2**31, -(2**31), 2**100, 0.5, float("inf")],
        "constants": (None, True, False),
        "tuples": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
        "empty": [{}, [], ""],
        "shared": [shared, shared],
        "text": "\u20ac" * 300,
        3: {"many": dict.fromkeys(range(3000))},
    }
    found = read(pickle.dumps(value, 2))
    assert found == value
    assert isinstance(found, dict)
    assert found["shared"][0] is found["shared"][1]


def test_the_next_pickle_follows() -> None:
    stream = io.BytesIO(pickle.dumps([1], 2) + pickle.dumps("next", 2) + b"numbers")
    assert [unpickle(stream)[0] for _ in range(2)] == [[1], "next"]
    assert stream.read() == b"numbers"


def test_dicts_in_order_may_come_in_two_forms() -> None:
    assert read(pickle.dumps(OrderedDict(a=1, b=[2]), 2)) == {"a": 1, "b": [2]}
    # Python 2 had pairs
    assert read(b"ccollections\nOrderedDict\n](](U\x01aK\x01e](U\x01bK\x02ee\x85R.") == {
        "a": 1,
        "b": 2,
    }


def test_names_are_only_names() -> None:
    assert read(b"ctorch\nfloat32\n.") == Named("torch float32")
    assert read(b"ctorch\ndevice\nU\x03cpu\x85R.") == Named("torch device")


@pytest.mark.parametrize(
    "content",
    [
        b"cos\nsystem\n.",
        b"cbuiltins\ngetattr\n.",
        b"ctorch\nload\n.",
        b"ctorch\nFloatStorage\nJ\x00\xca\x9a;\x85R.",  # a storage of 1,000,000,000
        b"ctorch\nfloat32\n)R.",
        b"ccollections\nOrderedDict\n)\x81.",  # NEWOBJ
        b"(ios\nsystem\n.",
        b"(cos\nsystem\no.",
        b"\x8c\x02os\x8c\x06system\x93.",
        b"\x82\x01.",  # EXT1
        b"\x8f.",  # a set
        b"\x96\x01\x00\x00\x00\x00\x00\x00\x00a.",  # a bytearray
        b"K\x012.",  # DUP
        b"Ppersistent\n.",
    ],
)
def test_other_names_and_instructions_are_refused(content: bytes) -> None:
    with pytest.raises(pickle.UnpicklingError):
        read(content)


@pytest.mark.parametrize(
    "content",
    [
        b".",
        b"K\x01",
        b"h\x00.",  # remembers nothing
        b"q\x00.",
        b"t.",  # no mark
        b"K\x01\x86.",
        b"}U\x01au.",
        b"}(U\x01au.",  # a key without a value
        b"](U\x01aK\x01u.",  # an item of a list
        b"}K\x01a.",
        b"K\x01}b.",  # the state of a number
        b"ccollections\nOrderedDict\n]b.",
        b"K\x01)R.",
        b"ccollections\nOrderedDict\nK\x01\x85R.",
        b"ccollections\nOrderedDict\n](](U\x01aee\x85R.",
        b"ctorch._utils\n_rebuild_tensor_v2\n)R.",
        b"ctorch._utils\n_rebuild_parameter\nK\x01\x85R.",
        b"ctorch\nSize\n)R.",
        b"K\x01Q.",
    ],
)
def test_what_is_damaged_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError):
        read(content)


def test_keys_that_take_ages_to_hash_are_refused() -> None:
    """Pairs of pairs of pairs: to hash one of them takes twice as long as the one inside."""
    nested = b"K\x01" + b"".join(b"q%ch%c\x86" % (i, i) for i in range(60))
    for content in (
        b"}" + nested + b"K\x01s.",
        b"}(" + nested + b"K\x01u.",
        b"ccollections\nOrderedDict\n](](" + nested + b"K\x01ee\x85R.",
    ):
        with pytest.raises(ValueError, match="neither texts nor numbers"):
            read(content)
    assert read(b"]" + nested + b"a.")  # as values they may be


KEYS = [b"M" + i.to_bytes(2, "little") + b"K\x01" for i in range(5_000)]


@pytest.mark.parametrize(
    "original",
    [b"](" + b"".join(b"](%be" % key for key in KEYS) + b"e", b"}(" + b"".join(KEYS) + b"u"],
)
def test_many_copies_of_a_dict_are_not_made(original: bytes) -> None:
    copies = b"h\x00h\x01\x85R" * 1_000
    content = b"ccollections\nOrderedDict\nq\x00" + original + b"q\x01](" + copies + b"e."
    tracemalloc.start()
    try:
        read(content)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_a_far_place_in_the_memory_of_objects_takes_none() -> None:
    tracemalloc.start()
    try:
        assert read(b"K\x01r\xff\xff\xff\x7fj\xff\xff\xff\x7f.") == 1
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
