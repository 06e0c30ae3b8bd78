"""The methods there are, by name: addapt's own, and those that users register."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any

from addapt._errors import OptionError, UnknownNameError
from addapt.methods.base import Method, Recipe
from addapt.methods.baselines import Bias, Finetune, FinetuneFrozenBn, Head
from addapt.methods.beside_blocks import DA3, RepNet, TinyTL
from addapt.methods.inside_blocks import LoRA, Norm, ParallelAdapter, Piggyback, SeriesAdapter

METHODS: dict[str, type[Method]] = {
    method.name: method
    for method in (
        *(Bias, DA3, Finetune, FinetuneFrozenBn, Head, LoRA, Norm),
        *(ParallelAdapter, Piggyback, RepNet, SeriesAdapter, TinyTL),
    )
}

# From a method, a backbone and the number of classes to an `addapt.AdaptedModel`.
Attach = Callable[[Any, Any, int], Any]

_registered: dict[str, Attach] = {}


def build_method(name: str, hyperparameters: Mapping[str, Any] | None = None) -> Method:
    """Build the method called `name`.

    Raises:
        UnknownNameError: there is no such method.
        OptionError: the method has no such hyper-parameter, or refuses its value.
    """
    if name not in METHODS:
        remedy = "If it is your own, register it with addapt.register_method before loading."
        raise UnknownNameError("method", name, METHODS, remedy)
    method = METHODS[name]
    _check_hyperparameters(method, hyperparameters or {})
    return method(**(hyperparameters or {}))


def register_method(method: type[Method], *, attach: Attach) -> None:
    """Make a method of one's own known, so that its domains can be learned, saved and loaded.

    Call it wherever they are, before learning and before loading; docs/USAGE.md has an example.
    The same class defined once more, as by a notebook's cell, takes the place of the first.

    Args:
        method: a frozen dataclass. Its hyper-parameters have defaults that JSON can hold: numbers,
            texts, True or False. With the default None one is a whole number.
        attach: called with the method, a backbone and the number of classes; makes the
            `addapt.AdaptedModel`, with an adaptor of PyTorch.

    Raises:
        OptionError: the name is taken, or the class is not such a method.
    """
    if not (isinstance(method, type) and issubclass(method, Method)):
        raise OptionError(f"{method!r} is not a method: derive a class from addapt.Method.")
    title = method.__name__
    if "__dataclass_fields__" not in vars(method):
        raise OptionError(
            f"The method {title} is not a frozen dataclass: put @dataclass(frozen=True) above it."
        )
    for name, kind in (("name", str), ("summary", str), ("why_kept", str), ("recipe", Recipe)):
        if not getattr(method, name, None) or not isinstance(getattr(method, name), kind):
            raise OptionError(
                f"The method {title} has no {name!r}: give it a class variable "
                f"`{name}: ClassVar[{kind.__name__}] = ...`."
            )
    for field in dataclasses.fields(method):
        if not _is_json_value(field.default):
            raise OptionError(
                f"The hyper-parameter {field.name!r} of the method {title} has no default that a "
                "domain's file can hold: give it a number, a text, True, False or None."
            )
    taken = METHODS.get(method.name)
    if taken is not None and not (method.name in _registered and _is_same_class(taken, method)):
        raise OptionError(
            f"The name {method.name!r} of the method {title} is taken by {taken.__name__}: "
            "give it another one."
        )
    METHODS[method.name] = method
    _registered[method.name] = attach


def require_registered(method: Method) -> None:
    """Refuse a method whose domains could not be loaded again.

    Raises:
        OptionError: its name is unknown or another method's, or its file could not hold one of
            the hyper-parameters.
    """
    known = METHODS.get(method.name)
    # A subclass that only changes the recipe is the same method.
    if known is None or not isinstance(method, known):
        title = type(method).__name__
        raise OptionError(
            f"The method {title} ({method.name!r}) is not registered, so that its domains could "
            f"not be loaded again: call addapt.register_method({title}, attach=...) first."
        )
    values = {field.name: getattr(method, field.name) for field in dataclasses.fields(method)}
    _check_hyperparameters(known, values)


def registered_attach(method: Method) -> Attach | None:
    """Return what was registered with a method; None for those that are addapt's own."""
    return _registered.get(method.name)


def _check_hyperparameters(method: type[Method], values: Mapping[str, Any]) -> None:
    known = {field.name: field.default for field in dataclasses.fields(method)}
    for given, value in values.items():
        if given not in known:
            raise OptionError(
                f"Method {method.name!r} has no hyper-parameter {given!r}. "
                f"It has: {', '.join(known) or 'none'}."
            )
        if not _is_like(value, known[given]):
            raise OptionError(
                f"Hyper-parameter {given!r} of method {method.name!r} is {value!r}, which is not "
                f"of the type of its default {known[given]!r}."
            )


def _is_like(value: object, default: object) -> bool:
    """Tell whether a value, which may come from a file, is of the type of the default."""
    if default is None:  # a whole number, chosen by the backbone unless given
        return value is None or type(value) is int
    if isinstance(default, float):
        return type(value) in (int, float)
    return type(value) is type(default)


def _is_json_value(value: object) -> bool:
    """Tell whether a value is one that JSON gives back as it was: not NaN, and no container."""
    if value is not None and type(value) not in (bool, int, float, str):
        return False
    return bool(json.loads(json.dumps(value)) == value)


def _is_same_class(one: type, other: type) -> bool:
    return (one.__module__, one.__qualname__) == (other.__module__, other.__qualname__)
