"""`addapt check` as a user meets it: a table, exit codes, JSON, repairs."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner, Result

from addapt.cli.main import app
from addapt.domains import Store
from tests.domains.domain_cases import INFO

# Of a backbone that is not addapt's own, so that none has to be loaded.
HEAD = replace(INFO, backbone="mine", method="head", hyperparameters={})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store")
    for name in ("good", "spoilt"):
        made.save(name, HEAD, {"head.weight": torch.ones(3, 4), "head.bias": torch.zeros(3)})
    return made


def check(store: Store, *words: str) -> Result:
    return CliRunner().invoke(app, ["check", *words, "--store", str(store.folder)])


def check_json(store: Store, *words: str) -> Any:
    return json.loads(check(store, *words, "--json").stdout)


def spoil(store: Store) -> None:
    path = store.path("spoilt")
    path.write_bytes(path.read_bytes()[:-1] + b"\1")


def test_all_is_well(store: Store) -> None:
    result = check(store)
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert [line[:3] for line in lines if "domain" in line] == [
        ["good", "domain", "good"],
        ["spoilt", "domain", "good"],
    ]


def test_something_is_wrong(store: Store) -> None:
    spoil(store)
    result = check(store)
    assert result.exit_code == 1
    assert "damaged" in result.stdout
    assert result.stderr == ""
    assert check(store, "good").exit_code == 0
    found = check_json(store)
    assert found["wrong"] == 1
    assert found["findings"][0] == {
        "kind": "domain",
        "name": "good",
        "file": str(store.path("good")),
        "verdict": "good",
        "remark": "Its backbone 'mine' is none of addapt's own: whether it fits that one was not "
        "checked.",
    }
    assert found["findings"][1]["verdict"] == "damaged"
    assert "its checksum is wrong" in found["findings"][1]["remark"]
    assert store.exists("spoilt")


def test_repair(store: Store) -> None:
    spoil(store)
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


def test_an_empty_store_and_unknown_names(store: Store, tmp_path: Path) -> None:
    result = check(Store(tmp_path / "empty"))
    assert result.exit_code == 0
    assert "No domain in" in result.stdout
    assert check_json(Store(tmp_path / "empty")) == {"findings": [], "wrong": 0}
    result = check(store, "god")
    assert result.exit_code == 2
    assert "Did you mean 'good'" in result.stderr


def test_texts_of_a_file_do_not_reach_the_terminal(store: Store) -> None:
    evil = replace(HEAD, backbone="\x1b]0;evil\x07\u202e")
    store.save("evil", evil, {"head.weight": torch.ones(3, 4), "head.bias": torch.zeros(3)})
    output = check(store).output
    assert "evil" in output
    assert not any(character in output for character in "\x1b\x07\u202e")
