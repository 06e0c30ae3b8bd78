"""What is wrong in a store is found and named; what is repaired is never deleted."""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from addapt._errors import DomainError, UnknownNameError
from addapt.backbones import backbone_entry
from addapt.domains import DomainInfo, Store, writing
from addapt.domains.header import METADATA
from addapt.domains.info import SCHEMA
from addapt.learning.checkpoint import save_run
from addapt.learning.state import TrainingState
from addapt.learning.store_check import (
    DAMAGED,
    GOOD,
    LEFT_OVER,
    MOVED,
    NO_SIGNATURE,
    REMOVED,
    UNUSABLE,
    StoreCheck,
)
from tests.damage import Original, Parts
from tests.domains.domain_cases import INFO
from tests.domains.holding import another_writer
from tests.learning.test_faults_of_learning import contents

HEAD = replace(INFO, backbone="mobilenet_v2", method="head", hyperparameters={})
FEATURES = 1280


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def save(store: Store, name: str, info: DomainInfo = HEAD) -> Path:
    """Save a domain of the method that needs nothing but a head."""
    classes = len(info.classes)
    store.save(name, info, head(classes, FEATURES))
    return store.path(name)


def head(classes: int, features: int, value: float = 1.0) -> dict[str, NDArray[Any]]:
    weight = np.full((classes, features), value, np.float32)
    return {"head.weight": weight, "head.bias": np.zeros(classes, np.float32)}


def save_unfinished(store: Store, name: str) -> Path:
    save_run(store.state_path(name), TrainingState(), {"seed": 0})
    return store.state_path(name)


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def verdicts(store: Store, *names: str) -> dict[str, tuple[str, str]]:
    findings = StoreCheck(store).findings(names)
    return {f.name: (f.verdict, f.remark) for f in findings}


def test_other_files_are_left_out(store: Store) -> None:
    assert verdicts(store) == {}
    assert not store.folder.exists()
    save(store, "a")
    (store.folder / ".hidden.safetensors").touch()
    (store.folder / "notes.txt").touch()
    (store.folder / ".learning" / "no name").mkdir(parents=True)
    (store.folder / ".learning" / "no name" / "state.safetensors").touch()
    assert set(verdicts(store)) == {"a"}
    with pytest.raises(DomainError, match="could not be read because"):
        verdicts(Store(store.folder / "notes.txt"))


def test_backbones_and_their_weights(store: Store) -> None:
    sha256 = backbone_entry("efficientnet_lite0").weights_sha256
    assert sha256 is not None
    save(store, "whole", replace(HEAD, backbone="efficientnet_lite0", weights_sha256=sha256))
    save(store, "other", replace(HEAD, backbone="efficientnet_lite0"))
    found = verdicts(store)
    assert found["whole"] == (GOOD, NO_SIGNATURE)
    assert found["other"][0] == GOOD
    assert "weights of efficientnet_lite0 than those that come along (1a2b3c…)" in found["other"][1]


@pytest.mark.parametrize(
    ("backbone", "shape", "message"),
    [
        (HEAD.backbone, (3, 7), "has shape (3, 7), but (3, 1280) is needed"),
        (HEAD.backbone, (2, FEATURES), "has shape (2, 1280), but (3, 1280) is needed"),
        (HEAD.backbone, (3,), "has shape (3,), but"),
        (HEAD.backbone, None, "'head.weight' is missing"),
        ("mine", (3, 7), None),
        ("mine", (4, 7), "has shape (4, 7), but (3, any) is needed"),
    ],
)
def test_the_shape_of_the_head(
    store: Store, backbone: str, shape: tuple[int, ...] | None, message: str | None
) -> None:
    state = {"head.bias": np.zeros(3, np.float32)}
    if shape is not None:
        state["head.weight"] = np.ones(shape, np.float32)
    store.save("a", replace(HEAD, backbone=backbone), state)
    verdict, remark = verdicts(store)["a"]
    assert verdict == (GOOD if message is None else UNUSABLE)
    assert (message or "none of addapt's own") in remark


def test_models_are_made_on_demand(store: Store) -> None:
    for name in ("good", "refused"):
        save(store, name)
    save(store, "mine", replace(HEAD, backbone="mine"))
    damage(save(store, "spoilt"))
    asked = []

    def load(name: str) -> None:
        asked.append(name)
        if name == "refused":
            raise DomainError("No model can be made of it.")

    found = {finding.name: finding.verdict for finding in StoreCheck(store, load).findings()}
    assert asked == ["good", "refused"]
    assert found == {"good": GOOD, "mine": GOOD, "refused": UNUSABLE, "spoilt": DAMAGED}


def test_damage_is_told_from_what_this_version_cannot_use(store: Store) -> None:
    damage(save(store, "flipped"))
    save(store, "cut").write_bytes(store.path("cut").read_bytes()[:-7])
    store.path("text").write_text("this is no domain")
    store.save("nan", HEAD, head(3, FEATURES, np.nan))
    store.save("foreign", HEAD, head(3, 7))
    content = save(store, "newer").read_bytes()
    now, newer = rf"\"schema\": {SCHEMA}".encode(), rb"\"schema\": 99"
    assert len(now) == len(newer)
    store.path("newer").write_bytes(content.replace(now, newer))
    (store.folder / "no name.safetensors").write_bytes(content)
    found = verdicts(store)
    assert {name: verdict for name, (verdict, _) in found.items()} == {
        "flipped": DAMAGED,
        "cut": DAMAGED,
        "text": DAMAGED,
        "nan": DAMAGED,
        "foreign": UNUSABLE,
        "newer": UNUSABLE,
        "no name": UNUSABLE,
    }
    assert "its checksum is wrong: restore it from a copy" in found["flipped"][1]
    assert "update addapt" in found["newer"][1]


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
    check = StoreCheck(store)
    found = {(f.kind, f.name): f for f in check.findings()}
    assert found["domain", "a"].verdict == GOOD
    assert found["unfinished learning", "a"].verdict == GOOD
    assert "same `addapt learn` command" in found["unfinished learning", "a"].remark
    damage(state)
    finding = next(iter(check.findings(["b"])))
    assert finding.verdict == DAMAGED
    assert "`restart=True`" in finding.remark
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
        check = StoreCheck(store)
        repaired = [check.repair(finding) for finding in check.findings()]
        assert [finding.verdict for finding in repaired] == [MOVED]
        places.append(repaired[0].remark.rpartition(" is now ")[2].rstrip("."))
        assert Path(places[-1]).read_bytes() == spoilt
        assert store.names() == ()
    names = [Path(place).name for place in places]
    assert names == [f"a.safetensors.damaged{suffix}" for suffix in ("", ".2", ".3")]


def test_repair_changes_nothing_that_is_good_or_unusable(store: Store) -> None:
    save(store, "a")
    store.save("b", HEAD, head(3, 7))
    save_unfinished(store, "c")
    before = contents(store.folder)
    check = StoreCheck(store)
    findings = list(check.findings())
    assert [check.repair(finding) for finding in findings] == findings
    damage(store.path("a"))
    finding = next(iter(check.findings()))
    save(store, "a")  # replaced since
    assert check.repair(finding).verdict == GOOD
    assert contents(store.folder) == before


def test_left_over_files(store: Store) -> None:
    save(store, "a")
    state = save_unfinished(store, "b")
    left = [store.folder / ".a.safetensors.0123abcd.tmp", state / ".state.safetensors.0123abcd.tmp"]
    for path in left:
        path.write_text("half")
    check = StoreCheck(store)
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
    with writing(store.folder, "other"):
        pass
    temporary = store.folder / ".a.safetensors.0123abcd.tmp"
    with another_writer(store.folder, "a", act=temporary.touch):
        check = StoreCheck(store)
        found = [check.repair(finding) for finding in check.findings()]
    assert contents(store.folder) == before
    assert [finding.verdict for finding in found] == [DAMAGED, GOOD, GOOD]
    assert "It was not repaired, as Domain 'a'" in found[0].remark
    assert "being learned at this moment" in found[1].remark


def test_names_that_are_not_there(store: Store) -> None:
    save(store, "flowers")
    save_unfinished(store, "cars")
    assert set(verdicts(store, "flowers", "cars")) == {"flowers", "cars"}
    assert set(verdicts(store, "cars")) == {"cars"}
    with pytest.raises(UnknownNameError, match="Did you mean 'flowers'"):
        verdicts(store, "flower")


def test_a_huge_file_is_not_read(store: Store) -> None:
    path = save(store, "a")
    parts = Parts(Original(path.read_bytes()))
    place = {"dtype": "F32", "shape": [10**10], "data_offsets": [0, 4 * 10**10]}
    parts.header = {METADATA: parts.header[METADATA], "w": place}
    parts.data.clear()
    path.write_bytes(parts.content())
    os.truncate(path, len(parts.content()) + 4 * 10**10)  # a file with a hole takes no room
    remark = "It has 40000000000 bytes of tensors: too many to look into."
    assert verdicts(store)["a"] == (GOOD, remark)
