"""`addapt check` as a user meets it: a table, exit codes, JSON, repairs."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import Result  # type: ignore[attr-defined, unused-ignore]

from addapt.domains import Store
from tests.cli.conftest import refused, run
from tests.domains.domain_cases import INFO

TENSORS = {"head.weight": np.ones((3, 4), np.float32), "head.bias": np.zeros(3, np.float32)}
# Of a backbone that is not addapt's own.
HEAD = replace(INFO, backbone="mine", method="head", hyperparameters={})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store")
    for name in ("good", "spoilt"):
        made.save(name, HEAD, TENSORS)
    return made


def check(store: Store, *words: str) -> Result:
    return run("check", *words, "--store", store.folder)


def check_json(store: Store, *words: str) -> Any:
    return json.loads(check(store, *words, "--json").stdout)


def test_all_is_well(store: Store, tmp_path: Path) -> None:
    result = check(store)
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert [line[:3] for line in lines if "domain" in line] == [
        ["good", "domain", "good"],
        ["spoilt", "domain", "good"],
    ]
    assert "Did you mean 'good'" in refused("check", "god", "--store", store.folder)
    empty = Store(tmp_path / "empty")
    assert "No domain in" in check(empty).stdout
    assert check_json(empty) == {"findings": [], "wrong": 0}


def test_something_is_wrong_and_repaired(store: Store) -> None:
    path = store.path("spoilt")
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    result = check(store)
    assert result.exit_code == 1
    assert "damaged" in result.stdout
    assert result.stderr == ""
    assert check(store, "good").exit_code == 0
    report = check_json(store)
    assert report["wrong"] == 1
    found = {row["name"]: row for row in report["findings"]}
    assert found["good"] == {
        "kind": "domain",
        "name": "good",
        "file": str(store.path("good")),
        "verdict": "good",
        "remark": "Its backbone 'mine' is none of addapt's own: whether it fits that one was not "
        "checked.",
    }
    assert found["spoilt"]["verdict"] == "damaged"
    assert "its checksum is wrong" in found["spoilt"]["remark"]
    assert store.exists("spoilt")
    (store.folder / ".good.safetensors.01234567.tmp").write_text("half")
    result = check(store, "--repair")
    assert result.exit_code == 1  # a domain was lost, and this must not go unnoticed
    assert "moved aside" in result.stdout
    assert "removed" in result.stdout
    assert {path.name for path in store.folder.iterdir()} == {
        ".locks",
        "good.safetensors",
        "spoilt.safetensors.damaged",
    }
    assert check(store, "--repair").exit_code == 0


def test_models_are_made_on_demand(store: Store) -> None:
    """Of a backbone whose weights are not here; what only its method knows is found then."""
    known = replace(HEAD, backbone="mobilenet_v2")
    head = {"head.weight": np.ones((3, 1280), np.float32), "head.bias": np.zeros(3, np.float32)}
    store.save("good", known, head)
    store.save("spoilt", replace(known, method="bias"), head)
    assert check(store).exit_code == 0
    found = {row["name"]: row for row in check_json(store, "--load")["findings"]}
    assert found["good"]["verdict"] == "good"
    assert found["spoilt"]["verdict"] == "unusable"
    assert "is missing" in found["spoilt"]["remark"]
