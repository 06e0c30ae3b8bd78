"""A signature in a domain's file: written, read alone, and refused where it is not as written."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from addapt._errors import DamagedError, DomainError
from addapt.domains import Plane, Signature, Store, open_domain, write_domain
from addapt.domains.info import DomainInfo
from addapt.domains.plane import Spread
from addapt.domains.signature import NAMES
from tests.domains.domain_cases import INFO, tensors


def some_signature(seed: int = 0) -> Signature:
    rng = np.random.default_rng(seed)
    look, answer = (rng.uniform(0, 1, (40, 24)).astype(np.float32) for _ in range(2))
    plane = Plane.fit(answer)
    return Signature(64, Plane.fit(look), plane, Spread.of(plane.distances(answer)))


def write(path: Path, signature: Signature, **more: Any) -> None:
    info = replace(INFO, signature=signature.fields())
    write_domain(path, info, {**tensors(), **signature.tensors(), **more})


def test_round_trip(tmp_path: Path) -> None:
    path, signature = tmp_path / "a.safetensors", some_signature()
    write(path, signature)
    with open_domain(path) as file:
        found = file.signature()
        assert found is not None
        assert file.tensors.keys() == tensors().keys()  # those of the method
        assert file.read().keys() == tensors().keys() | NAMES
    assert found.fields() == signature.fields()
    asked = np.random.default_rng(1).uniform(0, 1, (3, 24)).astype(np.float32)
    assert np.array_equal(found.relative(asked), signature.relative(asked))
    assert np.array_equal(found.look.distances(asked), signature.look.distances(asked))


def test_a_file_may_have_none(tmp_path: Path) -> None:
    write_domain(tmp_path / "a.safetensors", INFO, tensors())
    with open_domain(tmp_path / "a.safetensors") as file:
        assert file.signature() is None


def test_older_files_have_none() -> None:
    values = json.loads(INFO.to_json())
    del values["signature"]
    assert DomainInfo.from_json(json.dumps(values | {"schema": 9})).signature == {}
    with pytest.raises(DamagedError, match="'signature' is missing"):
        DomainInfo.from_json(json.dumps(values))


def test_it_is_read_without_the_other_tensors_but_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write(path, some_signature())
    content = bytearray(path.read_bytes())
    axes = some_signature().answer.axes.tobytes()
    place = content.index(axes)
    content[place] ^= 1
    path.write_bytes(content)
    with open_domain(path) as file, pytest.raises(DamagedError, match="not the one that was writ"):
        file.signature()


def test_a_rename_of_a_class_keeps_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write(store.path("a"), some_signature())
    store.rename_class("a", "daisy", "rose")
    with store.open("a") as file:
        signature = file.signature()
    assert signature is not None and signature.fields() == some_signature().fields()


def test_tensors_must_be_those_of_the_description(tmp_path: Path) -> None:
    path, signature = tmp_path / "a.safetensors", some_signature()
    own, other = signature.tensors(), some_signature(1).tensors()
    name = "signature.look.axes"
    wrong = {
        "are missing": {key: array for key, array in own.items() if key != name},
        "not the one": other,
    }
    for message, arrays in wrong.items():
        write_domain(path, replace(INFO, signature=signature.fields()), {**tensors(), **arrays})
        with open_domain(path) as file, pytest.raises(DamagedError, match=message):
            file.signature()
    changes: tuple[dict[str, Any], ...] = (
        {name: own[name][:, :5]},
        {name: own[name].astype(np.float32)},
        {"signature.look.centre": np.float16(0).reshape(())},
        {"signature.look.scales": np.full_like(own["signature.look.scales"], np.inf)},
    )
    for change in changes:
        forged = replace_arrays(signature, change)
        with pytest.raises(ValueError, match="signature"):
            Signature.of(forged, own | change)


def replace_arrays(signature: Signature, change: dict[str, Any]) -> dict[str, Any]:
    """Return fields that have the hash of changed tensors, as a forger would write them."""
    from addapt.domains.signature import _sha256

    return signature.fields() | {"sha256": _sha256(signature.tensors() | change)}


@pytest.mark.parametrize(
    "change",
    [
        {"look_px": 0},
        {"look_px": "64"},
        {"sha256": 5},
        {"spread": {}},
        {"spread": {"mean": 0, "deviation": 0, "images": 5}},
        {"spread": {"mean": 0, "deviation": -1, "images": 5}},
        {"spread": {"mean": None, "deviation": 1, "images": 5}},
        {"spread": {"mean": 0, "deviation": 1, "images": True}},
        {"more": 1},
    ],
)
def test_what_a_description_may_not_say(change: dict[str, Any]) -> None:
    with pytest.raises(DomainError, match="'signature' should be"):
        replace(INFO, signature=some_signature().fields() | change)
