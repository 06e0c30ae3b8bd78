"""What a domain's file says about the domain, and how that is checked."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeGuard

from addapt._errors import DamagedError, DomainError
from addapt.domains.header import unique_keys
from addapt.domains.signature import are_signature_fields

SCHEMA = 10
# What DA3 could not do, or leave out, before a schema, and its hyper-parameter says so.
DA3_BEFORE = {6: {"inner": False}, 7: {"shortcut": False}, 9: {"spatial": True, "channel": True}}
GATES_SCHEMA = 5  # from here on files say what gates there are
SIGNATURE_SCHEMA = 10  # from here on files may have a signature
SCORES_SCHEMA = 8  # from here on files have `val_report` and `value_range`
CHECKSUM_SCHEMA = 4  # from here on files have one
# The first schema in which the adaptor of a method had the form it has today; else 1.
FIRST_SCHEMA = {"da3": 3}

CLASSES_LIMIT = 100_000
LABEL_LIMIT = 255  # characters; no file system has folders with longer names
CLASSES_LIMIT_BYTES = 900_000  # as a header has them; the whole may take little more
IMAGE_PX_LIMIT = 2048
NUMBER_LIMIT = 2**63  # of whole numbers
NESTING_LIMIT = 20  # of JSON values
INTERPOLATIONS = ("bicubic", "bilinear")
# In `options`: versions of the domain that it went on from, checksums of images held out, base64.
EXTENDED, HELD_OUT = "extended", "held_out"
TEMPERATURES, CALIBRATION_ERROR = ("temperature", "first_look_temperature"), "calibration_error"

_DAMAGED = "Restore the file from a copy or learn the domain again."


@dataclass(frozen=True)
class DomainInfo:
    """All that is known about a learned domain besides its tensors.

    `hyperparameters` are the method's, `options` are what learning was called with and what the
    next one should know; `gates` say what is left out and what that does, empty where there are
    none. `val_report` is about the images held out: "balanced_accuracy", "weakest" (a class by its
    "label", "images", "correct"), the "interval" of 95 % of the accuracy, where that says little
    its "meaning", the "temperature" by which logits were divided, of two looks the
    "first_look_temperature", and the "calibration_error" left; empty in older files. All hold JSON
    values, so no tuples. `signature` is what `Signature.fields` gives, empty without one.
    `value_range` is the range of grey values deeper than 8 bits that becomes 0..255, empty if there
    were none. `versions` names addapt, torch and python; `date` is ISO 8601, UTC, to the second.

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
    val_report: dict[str, Any]
    value_range: tuple[float, ...]
    epochs: int
    options: dict[str, Any]
    gates: dict[str, Any]
    signature: dict[str, Any]
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
            DamagedError: not JSON, a missing field or a wrong type.
            DomainError: another schema.
        """
        try:
            values = json.loads(text, object_pairs_hook=unique_keys)
        except (ValueError, RecursionError):  # ValueError also covers numbers too long to read
            raise DamagedError(f"Its description is not valid JSON. {_DAMAGED}") from None
        if not isinstance(values, dict):
            raise DamagedError(f"Its description is not a JSON object. {_DAMAGED}")
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
                "again, with `restart=True`."
            )
        if _is_int(schema):
            _add_what_was_not_yet(values, schema)
        missing = [field.name for field in fields(cls) if field.name not in values]
        if missing:
            raise DamagedError(f"Field {missing[0]!r} is missing. {_DAMAGED}")
        known = {field.name: values[field.name] for field in fields(cls)}
        for name in ("classes", "mean", "std", "value_range"):  # JSON has lists only
            if isinstance(known[name], list):
                known[name] = tuple(known[name])
        try:
            return cls(**known)
        except DomainError as error:
            raise DamagedError(f"{error} {_DAMAGED}") from None


def _add_what_was_not_yet(values: dict[str, Any], schema: int) -> None:
    """Say of an older file what is true of it by default."""
    if schema < GATES_SCHEMA:
        values["gates"] = {}
    if schema < SCORES_SCHEMA:
        values |= {"val_report": {}, "value_range": []}
    if schema < SIGNATURE_SCHEMA:
        values["signature"] = {}
    hyperparameters = values.get("hyperparameters")
    if values.get("method") == "da3" and isinstance(hyperparameters, dict):
        for first, before in DA3_BEFORE.items():
            if schema < first:
                values["hyperparameters"] = before | values["hyperparameters"]


def check_classes(classes: Sequence[str]) -> None:
    """Refuse classes that do not fit into a domain's file.

    Raises:
        DomainError: they are too many or too long, or one is there twice.
    """
    problem = _problem_of_classes(classes)
    if problem is not None:
        raise DomainError(
            f"A domain's file cannot hold these classes: {problem}. "
            "Use fewer classes, or shorter names."
        )


def _problem_of_classes(classes: Sequence[str]) -> str | None:
    if not classes or len(classes) > CLASSES_LIMIT:
        return f"there are {len(classes)} classes, and 1 to {CLASSES_LIMIT} are possible"
    if len(set(classes)) < len(classes):
        return "a class is there twice"
    if max(map(len, classes)) > LABEL_LIMIT:
        return f"a class has a name of more than {LABEL_LIMIT} characters"
    if len(json.dumps(json.dumps(list(classes)))) > CLASSES_LIMIT_BYTES:
        return f"the names of all classes take more than {CLASSES_LIMIT_BYTES} bytes"
    return None


def check_backbone(info: DomainInfo, name: str, weights_sha256: str, path: Path) -> None:
    """Refuse a backbone other than the one the domain at `path` was learned on."""
    if (info.backbone, info.weights_sha256) == (name, weights_sha256):
        return
    remedy = (
        "these are other weights for the same network: give those it was learned on with `weights`."
        if info.backbone == name
        else f"use that one: load_backbone({info.backbone!r}), or Backbone.of for your own."
    )
    raise DomainError(
        f"{path.stem} was learned on {info.backbone} ({_weights(info.weights_sha256)}), "
        f"but this backbone is {name} ({_weights(weights_sha256)}): {remedy}"
    )


def _weights(sha256: str) -> str:
    return f"weights {sha256[:6]}…" if sha256 else "random weights"


def _shorten(value: object) -> str:
    return text if len(text := repr(value)) <= 80 else text[:77] + "..."


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < NUMBER_LIMIT


def _is_float(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value) or _is_int(value)


def _is_three_floats(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 3 and all(map(_is_float, value))


def _is_range(value: object) -> bool:
    if value == ():
        return True
    is_pair = isinstance(value, tuple) and len(value) == 2 and all(map(_is_float, value))
    return is_pair and value[0] < value[1]  # type: ignore[index]


def _is_val_report(value: object) -> bool:
    if value == {}:
        return True
    if not _is_json_object(value):
        return False
    assert isinstance(value, dict)
    weakest, interval = value.get("weakest"), value.get("interval")
    return (
        _is_float(value.get("balanced_accuracy"))
        and isinstance(interval, list)
        and len(interval) == 2
        and all(map(_is_float, interval))
        and isinstance(weakest, dict)
        and _is_text(weakest.get("label"))
        and all(_is_int(weakest.get(name)) for name in ("images", "correct"))
        and _is_text(value.get("meaning", ""))
        and all(_is_float(value.get(name, 1)) for name in (*TEMPERATURES, CALIBRATION_ERROR))
        and min(value.get(name, 1) for name in TEMPERATURES) > 0
    )


def _are_classes(value: object) -> bool:
    is_texts = isinstance(value, tuple) and all(map(_is_text, value))
    return is_texts and _problem_of_classes(value) is None  # type: ignore[arg-type]


def _is_text_table(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_text, [*value.keys(), *value.values()]))


def _is_json_object(value: object) -> bool:
    """Tell whether JSON gives back exactly what it was given: no tuples, no NaN, text keys."""
    if not isinstance(value, dict) or not _is_shallow(value, NESTING_LIMIT):
        return False
    try:
        return bool(json.loads(json.dumps(value, allow_nan=False)) == value)
    except (TypeError, ValueError):
        return False


def _is_shallow(value: object, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    parts = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_is_shallow(part, levels - 1) for part in parts)


_TEXT = (_is_text, "text")
_INT = (_is_int, "a whole number")
_THREE_FLOATS = (_is_three_floats, "three finite numbers")
_JSON_OBJECT = (_is_json_object, f"a table of JSON values, nested at most {NESTING_LIMIT} deep")

_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "schema": (lambda value: _is_int(value) and 1 <= value <= SCHEMA, f"1 to {SCHEMA}"),
    "backbone": _TEXT,
    "weights_sha256": _TEXT,
    "method": _TEXT,
    "hyperparameters": _JSON_OBJECT,
    "classes": (
        _are_classes,
        f"a list of 1 to {CLASSES_LIMIT} different texts of at most {LABEL_LIMIT} characters",
    ),
    "image_px": (
        lambda value: _is_int(value) and 1 <= value <= IMAGE_PX_LIMIT,
        f"a whole number from 1 to {IMAGE_PX_LIMIT}",
    ),
    "mean": _THREE_FLOATS,
    "std": _THREE_FLOATS,
    "interpolation": (INTERPOLATIONS.__contains__, f"one of {', '.join(INTERPOLATIONS)}"),
    "seed": _INT,
    "train_images": _INT,
    "val_images": _INT,
    "val_accuracy": (_is_float, "a finite number"),
    "val_report": (_is_val_report, "what says how sure the accuracy is and how even, or empty"),
    "value_range": (_is_range, "two finite numbers, the smaller first, or none"),
    "epochs": _INT,
    "options": _JSON_OBJECT,
    "gates": _JSON_OBJECT,
    "signature": (are_signature_fields, "what a signature says, or empty"),
    "versions": (_is_text_table, "a table of texts"),
    "date": _TEXT,
}
