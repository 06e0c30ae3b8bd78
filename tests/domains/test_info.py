"""The description of a domain: round trips, checks, and the backbone it belongs to."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from addapt._errors import DomainError
from addapt.domains.info import (
    CLASSES_LIMIT,
    NESTING_LIMIT,
    SCHEMA,
    DomainInfo,
    check_backbone,
    check_classes,
)
from tests.domains.domain_cases import INFO

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=5,
)
NESTED: dict[str, Any] = {}
for _ in range(NESTING_LIMIT):
    NESTED = {"in": NESTED}
WRONG: list[tuple[str, Any]] = [
    ("schema", 0),
    ("hyperparameters", {"sizes": (1, 2)}),
    ("hyperparameters", {"lr": float("nan")}),
    ("hyperparameters", {1: "one"}),
    ("classes", ["a", "b"]),
    ("classes", ("a", 2)),
    ("classes", ("a", "b", "a")),
    ("image_px", 128.0),
    ("image_px", 0),
    ("interpolation", "magic"),
    ("mean", (0.5, 0.5)),
    ("seed", True),
    ("seed", 2**63),
    ("val_accuracy", 10**400),
    ("options", NESTED),
    ("val_report", [0.5]),
    ("val_report", {"balanced_accuracy": 0.5}),
    ("val_report", INFO.val_report | {"balanced_accuracy": "high"}),
    ("val_report", INFO.val_report | {"interval": [0.5]}),
    ("val_report", INFO.val_report | {"weakest": {"label": "a", "images": 1}}),
    ("val_report", INFO.val_report | {"weakest": {"label": 7, "images": 1, "correct": 1}}),
    ("val_report", INFO.val_report | {"meaning": 7}),
    ("value_range", (0.0,)),
    ("value_range", (5, 5)),
    ("value_range", (0, float("inf"))),
    ("val_accuracy", float("inf")),
    ("options", {"folder": Path()}),
    ("versions", {"torch": 2}),
]


TWICE = INFO.to_json().replace('"seed"', '"schema": 1, "seed"')


def as_json(**changes: Any) -> str:
    return json.dumps(json.loads(INFO.to_json()) | changes)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])  # on busy machines
@given(
    classes=st.lists(st.text(max_size=255), min_size=1, unique=True).map(tuple),
    mean=st.tuples(FLOATS, FLOATS, FLOATS),
    options=st.dictionaries(st.text(), JSON_VALUES, max_size=3),
    seed=st.integers(-(2**63) + 1, 2**63 - 1),
)
def test_round_trip(
    classes: tuple[str, ...], mean: tuple[float, float, float], options: dict[str, Any], seed: int
) -> None:
    info = dataclasses.replace(INFO, classes=classes, mean=mean, options=options, seed=seed)
    text = info.to_json()
    assert DomainInfo.from_json(text) == info
    assert text.isascii()
    keys = list(json.loads(text))
    assert keys == sorted(keys) == sorted(field.name for field in dataclasses.fields(DomainInfo))


@pytest.mark.parametrize(("field", "value"), WRONG)
def test_wrong_type_names_the_field(field: str, value: Any) -> None:
    with pytest.raises(DomainError, match=f"'{field}' should be"):
        dataclasses.replace(INFO, **{field: value})


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(DomainInfo)])
def test_every_field_is_checked_and_needed(field: str) -> None:
    with pytest.raises(DomainError, match=f"'{field}' should be"):
        DomainInfo.from_json(as_json(**{field: None}))
    values = json.loads(INFO.to_json())
    del values[field]
    with pytest.raises(DomainError, match=f"'{field}' is missing. Restore"):
        DomainInfo.from_json(json.dumps(values))


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ((), "there are 0 classes, and 1 to 100000"),
        (tuple(map(str, range(CLASSES_LIMIT + 1))), "there are 100001 classes"),
        (("a", "a"), "a class is there twice"),
        (("x" * 256,), "a name of more than 255 characters"),
        (tuple(f"{k:0250}" for k in range(4_000)), "more than 900000 bytes"),
    ],
)
def test_classes_that_do_not_fit_into_a_file(classes: tuple[str, ...], message: str) -> None:
    check_classes([f"{k}" for k in range(70_000)])
    check_classes(["x" * 255, "ü"])
    with pytest.raises(DomainError, match=message):
        check_classes(classes)


def test_newer_schema_is_named() -> None:
    message = rf"newer addapt \(schema {SCHEMA + 1}, this one reads up to {SCHEMA}\): update addapt"
    with pytest.raises(DomainError, match=message):
        # a newer schema may lack fields of this one, and that is no damage
        DomainInfo.from_json(json.dumps({"schema": SCHEMA + 1}))
    assert DomainInfo.from_json(as_json(colour="blue")) == INFO  # an unknown field


def test_older_schema_is_named_where_the_adaptor_was_another() -> None:
    message = r"older addapt \(schema 1, and method 'da3' is read from 3 on\).*with `restart=True`"
    with pytest.raises(DomainError, match=message):
        DomainInfo.from_json(as_json(schema=1))
    assert DomainInfo.from_json(as_json(schema=1, method="head")).schema == 1


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", "[" * 100_000, '{"seed": ' + "9" * 5000, TWICE]
)
def test_damaged_text(text: str) -> None:
    with pytest.raises(DomainError, match="not valid JSON|not a JSON object"):
        DomainInfo.from_json(text)


def test_long_wrong_values_are_shortened() -> None:
    with pytest.raises(DomainError) as caught:
        dataclasses.replace(INFO, epochs="5" * 10_000)  # type: ignore[arg-type]
    assert len(str(caught.value)) < 200


def test_another_backbone_or_other_weights_are_named() -> None:
    path, other = Path("store/flowers.safetensors"), "ffeedd" + "0" * 58
    check_backbone(INFO, INFO.backbone, INFO.weights_sha256, path)
    with pytest.raises(DomainError) as caught:
        check_backbone(INFO, "resnet50", other, path)
    assert str(caught.value) == (
        "flowers was learned on efficientnet_lite0 (weights 1a2b3c…), but this backbone is "
        "resnet50 (weights ffeedd…): use that one: load_backbone('efficientnet_lite0'), or "
        "Backbone.of for your own."
    )
    for sha256, words in ((other, "weights ffeedd"), ("", "random weights")):
        with pytest.raises(DomainError, match=f"{words}.* other weights for the same network"):
            check_backbone(INFO, INFO.backbone, sha256, path)


@pytest.mark.parametrize("schema", [1, 7])
def test_what_older_schemas_do_not_say_is_empty(schema: int) -> None:
    values = json.loads(as_json(schema=schema, method="head"))
    del values["val_report"], values["value_range"]
    info = DomainInfo.from_json(json.dumps(values))
    assert (info.val_report, info.value_range) == ({}, ())


@pytest.mark.parametrize(
    ("schema", "added"),
    [(5, {"inner": False, "shortcut": False}), (6, {"shortcut": False}), (8, {}), (SCHEMA, {})],
)
def test_da3_of_older_schemas_does_what_it_did(schema: int, added: dict[str, bool]) -> None:
    given = {"width": 32}
    if schema < 9:
        added = {"spatial": True, "channel": True} | added
    told = given | dict.fromkeys(added, True)
    for method, written, read in (
        ("da3", given, given | added),
        ("da3", told, told),
        ("bias", given, given),
    ):
        older = as_json(schema=schema, method=method, hyperparameters=written)
        assert DomainInfo.from_json(older).hyperparameters == read
