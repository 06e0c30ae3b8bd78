"""What is wrong in a store is found and named; what is repaired is never deleted."""

import functools
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from addapt._errors import DomainError, UnknownNameError
from addapt.domains import DomainInfo, Store, writing
from addapt.domains.info import SCHEMA
from addapt.engines.torch.backbones import load_backbone
from addapt.learning import checking
from addapt.learning.checking import DAMAGED, GOOD, LEFT_OVER, MOVED, REMOVED, UNUSABLE
from addapt.learning.run_file import save_run
from addapt.learning.state import TrainingState
from tests.domains.domain_cases import INFO
from tests.domains.holding import another_writer

HEAD = replace(INFO, backbone="mobilenet_v2", method="head", hyperparameters={})
FEATURES = 1280
load_cached = functools.cache(load_backbone)


@pytest.fixture(autouse=True)
def load_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "load_backbone", load_cached)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def save(store: Store, name: str, info: DomainInfo = HEAD) -> Path:
    """Save a domain of the method that needs nothing but a head."""
    classes = len(info.classes)
    state = {"head.weight": torch.ones(classes, FEATURES), "head.bias": torch.zeros(classes)}
    store.save(name, info, state)
    return store.path(name)


def save_unfinished(store: Store, name: str) -> Path:
    save_run(store.state_path(name), TrainingState(), {"seed": 0})
    return store.state_path(name)


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def verdicts(store: Store, *names: str) -> dict[str, tuple[str, str]]:
    findings = checking.StoreCheck(store).findings(names)
    return {f.name: (f.verdict, f.remark) for f in findings}


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_an_empty_store(store: Store) -> None:
    assert verdicts(store) == {}
    assert not store.folder.exists()


def test_other_files_are_left_out(store: Store) -> None:
    save(store, "a")
    (store.folder / ".hidden.safetensors").touch()
    (store.folder / "notes.txt").touch()
    (store.folder / ".learning" / "no name").mkdir(parents=True)
    (store.folder / ".learning" / "no name" / "state.safetensors").touch()
    assert set(verdicts(store)) == {"a"}


def test_a_store_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DomainError, match="could not be read because"):
        verdicts(Store(tmp_path / "file"))


def test_one_backbone_serves_all_domains(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(3):
        save(store, f"a{i}")
    save(store, "b", replace(HEAD, backbone="mine"))
    loaded: list[str] = []

    def load(name: str, *words: Any, **options: Any) -> Any:
        loaded.append(name)
        return load_cached(name, *words, **options)

    monkeypatch.setattr(checking, "load_backbone", load)
    found = verdicts(store)
    assert loaded == ["mobilenet_v2"]
    assert {verdict for verdict, _ in found.values()} == {GOOD}
    assert "on other weights of mobilenet_v2 than those that come along (1a2b3c…)" in found["a0"][1]
    assert "'mine' is none of addapt's own" in found["b"][1]


def test_weights_that_come_along_are_confirmed(store: Store) -> None:
    sha256 = load_backbone("efficientnet_lite0").info.weights_sha256
    save(store, "mine", replace(HEAD, backbone="efficientnet_lite0"))
    save(store, "own", replace(HEAD, backbone="efficientnet_lite0", weights_sha256=sha256))
    found = verdicts(store)
    assert found["own"] == (GOOD, "")
    assert "on other weights of efficientnet_lite0" in found["mine"][1]


def test_damage_is_told_from_what_this_version_cannot_use(store: Store) -> None:
    damage(save(store, "flipped"))
    save(store, "cut").write_bytes(store.path("cut").read_bytes()[:-7])
    store.path("text").write_text("this is no domain")
    nan = {"head.weight": torch.full((3, FEATURES), torch.nan), "head.bias": torch.zeros(3)}
    store.save("nan", HEAD, nan)
    save(store, "shapes", replace(HEAD, hyperparameters={"size": 3}))
    store.save("foreign", HEAD, {"head.weight": torch.ones(3, 7), "head.bias": torch.zeros(3)})
    content = save(store, "newer").read_bytes()
    now, newer = (rf"\"schema\": {schema}".encode() for schema in (SCHEMA, SCHEMA + 1))
    changed = content.replace(now, newer)
    store.path("newer").write_bytes(changed)
    (store.folder / "no name.safetensors").write_bytes(content)
    found = verdicts(store)
    assert {name: verdict for name, (verdict, _) in found.items()} == {
        "flipped": DAMAGED,
        "cut": DAMAGED,
        "text": DAMAGED,
        "nan": DAMAGED,
        "shapes": UNUSABLE,
        "foreign": UNUSABLE,
        "newer": UNUSABLE,
        "no name": UNUSABLE,
    }
    assert "its checksum is wrong: restore it from a copy" in found["flipped"][1]
    assert "7 bytes" not in found["cut"][1] and "cut off" in found["cut"][1]
    assert "'head.weight' holds values" in found["nan"][1]
    assert "update addapt" in found["newer"][1]
    assert "has shape (3, 7)" in found["foreign"][1]
    assert "cannot be called 'no name'" in found["no name"][1]


def test_damage_is_the_reason_rather_than_its_consequence(store: Store) -> None:
    """Another method keeps other tensors; that it was not always this one, the checksum tells."""
    path = save(store, "a")
    content = path.read_bytes()
    path.write_bytes(content.replace(rb"\"method\": \"head\"", rb"\"method\": \"bias\""))
    assert content != path.read_bytes()
    assert verdicts(store)["a"][0] == DAMAGED


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may read all")
def test_what_may_not_be_read_is_not_damaged(store: Store) -> None:
    save(store, "a").chmod(0)
    assert verdicts(store)["a"][0] == UNUSABLE


def test_unfinished_learning(store: Store) -> None:
    save(store, "a")
    save_unfinished(store, "a")
    state = save_unfinished(store, "b") / "state.safetensors"
    check = checking.StoreCheck(store)
    found = {(f.kind, f.name): f for f in check.findings()}
    assert found["domain", "a"].verdict == GOOD
    assert found["unfinished learning", "a"].verdict == GOOD
    assert "same `addapt learn` command" in found["unfinished learning", "a"].remark
    damage(state)
    finding = next(iter(check.findings(["b"])))
    assert finding.verdict == DAMAGED
    assert "--restart" in finding.remark
    before = contents(store.folder)
    repaired = check.repair(finding)
    assert repaired.verdict == MOVED
    assert repaired.is_wrong
    assert not store.state_path("b").exists()
    assert sorted(contents(store.folder).values()) == sorted(before.values())
    assert (store.folder / "b.learning.damaged" / "state.safetensors").exists()
    assert "b" not in verdicts(store)


def test_damaged_files_are_moved_aside_and_numbered(store: Store) -> None:
    places = []
    for _ in range(3):
        damage(save(store, "a"))
        spoilt = store.path("a").read_bytes()
        check = checking.StoreCheck(store)
        repaired = [check.repair(finding) for finding in check.findings()]
        assert [finding.verdict for finding in repaired] == [MOVED]
        places.append(repaired[0].remark.rpartition(" is now ")[2].rstrip("."))
        assert Path(places[-1]).read_bytes() == spoilt
        assert store.names() == ()
    names = [Path(place).name for place in places]
    assert names == [f"a.safetensors.damaged{suffix}" for suffix in ("", ".2", ".3")]


def test_repair_changes_nothing_that_is_good_or_unusable(store: Store) -> None:
    save(store, "a")
    save(store, "b", replace(HEAD, hyperparameters={"size": 3}))
    save_unfinished(store, "c")
    before = contents(store.folder)
    check = checking.StoreCheck(store)
    findings = list(check.findings())
    assert [check.repair(finding) for finding in findings] == findings
    assert contents(store.folder) == before


def test_what_was_replaced_since_is_left_alone(store: Store) -> None:
    damage(save(store, "a"))
    check = checking.StoreCheck(store)
    finding = next(iter(check.findings()))
    content = save(store, "a").read_bytes()
    assert check.repair(finding).verdict == GOOD
    assert store.path("a").read_bytes() == content


def test_left_over_files(store: Store) -> None:
    save(store, "a")
    state = save_unfinished(store, "b")
    left = [store.folder / ".a.safetensors.0123abcd.tmp", state / ".state.safetensors.0123abcd.tmp"]
    for path in left:
        path.write_text("half")
    check = checking.StoreCheck(store)
    findings = [f for f in check.findings() if f.verdict == LEFT_OVER]
    assert [finding.path for finding in findings] == left
    assert not any(finding.is_wrong for finding in findings)
    assert [check.repair(finding).verdict for finding in findings] == [REMOVED, REMOVED]
    assert not any(path.exists() for path in left)
    assert verdicts(store)["a"][0] == GOOD


def test_what_is_being_written_is_let_alone(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("addapt.domains.lock.WAIT_S", 0.1)
    path = save(store, "a")
    damage(path)
    damage(save_unfinished(store, "a") / "state.safetensors")
    (store.folder / ".a.safetensors.0123abcd.tmp").touch()
    before = contents(store.folder)
    found: list[checking.Finding] = []

    def look() -> None:
        check = checking.StoreCheck(store)
        found.extend(check.repair(finding) for finding in check.findings())

    with writing(store.folder, "other"):
        pass
    temporary = store.folder / ".a.safetensors.0123abcd.tmp"
    with another_writer(store.folder, "a", act=temporary.touch):
        look()
    assert contents(store.folder) == before
    assert [(f.kind, f.verdict) for f in found] == [
        ("domain", DAMAGED),
        ("unfinished learning", GOOD),
        ("temporary file", GOOD),
    ]
    assert "It was not repaired, as Domain 'a'" in found[0].remark
    assert "being learned at this moment" in found[1].remark


def test_names_that_are_not_there(store: Store) -> None:
    save(store, "flowers")
    save_unfinished(store, "cars")
    assert set(verdicts(store, "flowers", "cars")) == {"flowers", "cars"}
    assert set(verdicts(store, "cars")) == {"cars"}
    with pytest.raises(UnknownNameError, match="Did you mean 'flowers'"):
        verdicts(store, "flower")


def test_a_huge_file_of_an_unknown_backbone_is_not_read(store: Store) -> None:
    path = save(store, "a", replace(HEAD, backbone="mine"))
    length = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(path.read_bytes()[8 : 8 + length])
    texts = header["__metadata__"]
    elements = 10**10
    table = {"w": {"dtype": "F32", "shape": [elements], "data_offsets": [0, 4 * elements]}}
    head = json.dumps({"__metadata__": texts, **table}).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head)
    os.truncate(path, 8 + len(head) + 4 * elements)  # a file with a hole takes no room
    verdict, remark = verdicts(store)["a"]
    assert verdict == GOOD
    assert "Nor were its 40000000000 bytes of tensors" in remark
