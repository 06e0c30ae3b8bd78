"""What a domain's file says about the domain, and how that is checked."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeGuard

from addapt._errors import DomainError

SCHEMA = 3
# The first schema in which the adaptor of a method had the form it has today; else 1.
FIRST_SCHEMA = {"da3": 3}

_DAMAGED = "Restore the file from a copy or learn the domain again."


@dataclass(frozen=True)
class DomainInfo:
    """All that is known about a learned domain besides its tensors.

    `hyperparameters` are the method's, `options` are what learning was called
    with (batch, lr, flip, ...); both hold JSON values only, so no tuples.
    `versions` names addapt, torch and python; `date` is ISO 8601, UTC, to the second.

    Raises:
        DomainError: a field has the wrong type.
    """

    schema: int
    backbone: str
    weights_sha256: str
    method: str
    hyperparameters: dict[str, Any]
    classes: tuple[str, ...]
    image_px: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str
    seed: int
    train_images: int
    val_images: int
    val_accuracy: float
    epochs: int
    options: dict[str, Any]
    versions: dict[str, str]
    date: str

    def __post_init__(self) -> None:
        for name, (is_right, wanted) in _CHECKS.items():
            value = getattr(self, name)
            if not is_right(value):
                raise DomainError(f"Field {name!r} should be {wanted}, but is {_shorten(value)}.")

    def to_json(self) -> str:
        """Write all fields as one line of JSON with sorted keys."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return json.dumps(values, sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "DomainInfo":
        """Read what `to_json` wrote; fields unknown to this version are ignored.

        Raises:
            DomainError: not JSON, a missing field, a wrong type, or another schema.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError):  # ValueError also covers numbers too long to read
            raise DomainError(f"Its description is not valid JSON. {_DAMAGED}") from None
        if not isinstance(values, dict):
            raise DomainError(f"Its description is not a JSON object. {_DAMAGED}")
        schema = values.get("schema")
        if _is_int(schema) and schema > SCHEMA:
            raise DomainError(
                f"Written by a newer addapt (schema {schema}, this one reads up to {SCHEMA}): "
                "update addapt."
            )
        first = FIRST_SCHEMA.get(str(values.get("method")), 1)
        if _is_int(schema) and 0 < schema < first:
            raise DomainError(
                f"Written by an older addapt (schema {schema}, and method {values['method']!r} is "
                f"read from {first} on), whose adaptors were built otherwise: learn the domain "
                "again, with --restart."
            )
        missing = [field.name for field in fields(cls) if field.name not in values]
        if missing:
            raise DomainError(f"Field {missing[0]!r} is missing. {_DAMAGED}")
        known = {field.name: values[field.name] for field in fields(cls)}
        for name in ("classes", "mean", "std"):  # JSON has lists only
            if isinstance(known[name], list):
                known[name] = tuple(known[name])
        try:
            return cls(**known)
        except DomainError as error:
            raise DomainError(f"{error} {_DAMAGED}") from None


def check_backbone(info: DomainInfo, name: str, weights_sha256: str, path: Path) -> None:
    """Refuse a backbone other than the one the domain at `path` was learned on."""
    if (info.backbone, info.weights_sha256) == (name, weights_sha256):
        return
    remedy = (
        "these are other weights for the same network: give those it was learned on with --weights."
        if info.backbone == name
        else f"use that one: load_backbone({info.backbone!r})."
    )
    raise DomainError(
        f"{path.stem} was learned on {info.backbone} ({_weights(info.weights_sha256)}), "
        f"but this backbone is {name} ({_weights(weights_sha256)}): {remedy}"
    )


def _weights(sha256: str) -> str:
    return f"weights {sha256[:6]}…" if sha256 else "random weights"


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_schema(value: object) -> bool:
    return _is_int(value) and 1 <= value <= SCHEMA


def _is_float(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value) or _is_int(value)


def _is_three_floats(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 3 and all(map(_is_float, value))


def _is_texts(value: object) -> bool:
    return isinstance(value, tuple) and all(map(_is_text, value))


def _is_text_table(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_text, [*value.keys(), *value.values()]))


def _is_json_object(value: object) -> bool:
    """Tell whether JSON gives back exactly what it was given: no tuples, no NaN, text keys."""
    try:
        return isinstance(value, dict) and json.loads(json.dumps(value, allow_nan=False)) == value
    except (TypeError, ValueError, RecursionError):
        return False


_TEXT = (_is_text, "text")
_INT = (_is_int, "a whole number")
_FLOAT = (_is_float, "a finite number")
_THREE_FLOATS = (_is_three_floats, "three finite numbers")
_TEXTS = (_is_texts, "a list of texts")
_TEXT_TABLE = (_is_text_table, "a table of texts")
_JSON_OBJECT = (_is_json_object, "a table of JSON values")

_CHECKS: dict[str, tuple[Callable[[object], bool], str]] = {
    "schema": (_is_schema, f"1 to {SCHEMA}"),
    "backbone": _TEXT,
    "weights_sha256": _TEXT,
    "method": _TEXT,
    "hyperparameters": _JSON_OBJECT,
    "classes": _TEXTS,
    "image_px": _INT,
    "mean": _THREE_FLOATS,
    "std": _THREE_FLOATS,
    "interpolation": _TEXT,
    "seed": _INT,
    "train_images": _INT,
    "val_images": _INT,
    "val_accuracy": _FLOAT,
    "epochs": _INT,
    "options": _JSON_OBJECT,
    "versions": _TEXT_TABLE,
    "date": _TEXT,
}
