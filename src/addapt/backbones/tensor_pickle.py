"""The pickles of torch.save, read as lists, dicts and tensors: what else they ask for is refused.

Python's own reader calls, sets attributes of and hashes what a file tells it to, and takes as much
memory for its memory of objects as the file says. This one knows only what state dicts need.
"""

import pickletools
from dataclasses import dataclass, field
from io import BytesIO
from pickle import UnpicklingError
from typing import Any

# What its numbers are, by the name of a storage.
STORAGES = {
    "torch DoubleStorage": "f8",
    "torch FloatStorage": "f4",
    "torch HalfStorage": "f2",
    "torch BFloat16Storage": "u2",  # no type of numpy's
    "torch LongStorage": "i8",
    "torch IntStorage": "i4",
    "torch ShortStorage": "i2",
    "torch CharStorage": "i1",
    "torch ByteStorage": "u1",
    "torch BoolStorage": "b1",
}
_DTYPES = "float32 float64 float16 bfloat16 int64 int32 int16 int8 uint8 bool".split()
_DICTS = {"collections OrderedDict", "collections Counter"}  # the latter in learning rate schedules
_TENSORS = {
    "torch._utils _rebuild_tensor",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
}
_NAMED = {*STORAGES, *_DICTS, *_TENSORS, "torch Size", "torch device"}
_NAMED |= {f"torch {name}" for name in _DTYPES}

_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = set("BININT BININT1 BININT2 LONG1 BINFLOAT BINUNICODE SHORT_BINSTRING".split())
_SHORT_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


@dataclass(frozen=True)
class Storage:
    """A row of numbers somewhere else in the file: its key there, its name and their count."""

    key: str
    name: str
    count: int

    @property
    def kind(self) -> str:
        """What the numbers are, as numpy writes it without the order of bytes."""
        return STORAGES[self.name]

    @property
    def is_bfloat16(self) -> bool:
        """Whether they are the upper halves of float32 numbers."""
        return self.name == "torch BFloat16Storage"

    @property
    def item_bytes(self) -> int:
        """What one of them takes."""
        return int(self.kind[1:])


@dataclass(frozen=True)
class StoredTensor:
    """A tensor whose numbers are in the file: where in a storage, and in which steps."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class Named:
    """What a pickle refers to by name."""

    name: str


@dataclass
class _Machine:
    """The stack that a pickle's instructions work on."""

    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    storages: dict[str, Storage] = field(default_factory=dict)

    def pop_to_mark(self) -> list[Any]:
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def pop(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise IndexError
        values = self.stack[-count:]
        del self.stack[-count:]
        return values


def unpickle(stream: BytesIO) -> tuple[Any, dict[str, Storage]]:
    """Read one pickle and leave the stream after it.

    Returns what it holds, tensors as `StoredTensor`, and all storages by their keys.

    Raises:
        UnpicklingError: it refers to something else, or does something that is not needed.
        ValueError: it is damaged.
    """
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            if opcode.name == "STOP":
                return machine.pop(1)[0], machine.storages
            _do(machine, opcode.name, argument)
    except (IndexError, KeyError, TypeError):
        raise ValueError("its list of tensors is damaged") from None
    raise AssertionError("genops ends with STOP, or raises")


def _do(machine: _Machine, name: str, argument: Any) -> None:
    stack, memo = machine.stack, machine.memo
    if name in _LITERALS:
        stack.append(argument)
    elif name in _CONSTANTS:
        stack.append(_CONSTANTS[name])
    elif name in _EMPTY:
        stack.append(_EMPTY[name]())
    elif name in ("BINPUT", "LONG_BINPUT"):
        memo[argument] = stack[-1]
    elif name in ("BINGET", "LONG_BINGET"):
        stack.append(memo[argument])
    elif name == "MARK":
        machine.marks.append(len(stack))
    elif name == "TUPLE":
        stack.append(tuple(machine.pop_to_mark()))
    elif name in _SHORT_TUPLES:
        stack.append(tuple(machine.pop(_SHORT_TUPLES[name])))
    elif name in ("APPEND", "APPENDS"):
        values = machine.pop(1) if name == "APPEND" else machine.pop_to_mark()
        _expect(stack[-1], list).extend(values)
    elif name in ("SETITEM", "SETITEMS"):
        values = machine.pop(2) if name == "SETITEM" else machine.pop_to_mark()
        _set_items(stack[-1], values)
    elif name == "GLOBAL":
        if argument not in _NAMED:
            raise UnpicklingError(argument)
        stack.append(Named(argument))
    elif name == "BINPERSID":
        storage = _storage(*_expect(machine.pop(1)[0], tuple))
        if machine.storages.setdefault(storage.key, storage) != storage:
            raise ValueError("two of its tensors take the same numbers for different ones")
        stack.append(storage)
    elif name == "REDUCE":
        function, arguments = machine.pop(2)
        stack.append(_call(_expect(function, Named).name, _expect(arguments, tuple)))
    elif name == "BUILD":
        machine.pop(1)  # what a state dict says of its versions
        _expect(stack[-1], dict)
    elif name != "PROTO":
        raise UnpicklingError(name)


def _expect(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError
    return value


def _set_items(target: object, keys_and_values: list[object]) -> None:
    entries = _expect(target, dict)
    if len(keys_and_values) % 2:
        raise IndexError
    for key, value in zip(keys_and_values[::2], keys_and_values[1::2], strict=True):
        if not isinstance(key, str | int | float | None):  # to hash a tuple can take ages
            raise ValueError("a dict in it has keys that are neither texts nor numbers")
        entries[key] = value


def _call(name: str, arguments: tuple[Any, ...]) -> object:
    if name in _DICTS:
        return _dict(*arguments)
    if name == "torch Size":
        return _expect(arguments[0], tuple)
    if name == "torch device":
        return Named(name)
    if name == "torch._utils _rebuild_parameter":
        return _expect(arguments[0], StoredTensor)
    if name in _TENSORS:
        return _tensor(*arguments)
    raise UnpicklingError(f"{name} is called")


def _dict(items: object = None) -> dict[object, object]:
    """Make a dict of a dict, or of pairs as Python 2 had them, which are used up.

    Otherwise a file could ask for thousands of copies.
    """
    if isinstance(items, dict):
        return items
    made: dict[object, object] = {}
    if items is not None:
        pairs = _expect(items, list)
        for pair in pairs:
            key, value = _expect(pair, list)
            _set_items(made, [key, value])
        pairs.clear()
    return made


def _storage(
    kind: object, storage: object, key: object, place: object, count: object, view: object = None
) -> Storage:
    name = _expect(storage, Named).name
    if kind != "storage" or name not in STORAGES or _expect(count, int) < 0 or view is not None:
        raise ValueError("it refers to numbers in a way that torch since 0.4 does not")
    return Storage(_expect(key, str), name, _expect(count, int))


def _tensor(
    storage: object,
    offset: object,
    shape: object,
    strides: object,
    _grad: object = False,
    _hooks: object = None,
    metadata: object = None,
) -> StoredTensor:
    if metadata:
        raise ValueError("a tensor in it is stored as the conjugate or the negative of its numbers")
    sides, steps = _expect(shape, tuple), _expect(strides, tuple)
    if len(sides) != len(steps) or any(_expect(n, int) < 0 for n in (offset, *sides, *steps)):
        raise ValueError("a tensor in it has a negative side, step or offset")
    return StoredTensor(_expect(storage, Storage), _expect(offset, int), sides, steps)
