"""Gated domains: learned, kept, used where they are faster, and told about."""

import dataclasses
import itertools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from addapt import GateConfig, Learner
from addapt._errors import DomainError, OptionError
from addapt.gates import UNITS, gates_from, ungated_px
from addapt.learning import Controls, LearningStopped, gating
from addapt.methods import Head
from tests.conftest import MakeFolder
from tests.engines.torch.gates.small_backbones import small_backbone
from tests.fake_engine import FakeEngine, FakeModel
from tests.forks import Fork

QUICK: dict[str, Any] = {"epochs": 2, "batch": 8, "image_px": 64, "lr": 1e-2}
FAKE: dict[str, Any] = {"method": "head", "gates": GateConfig("blocks", True, 0.7), "epochs": 1}
EVERY = [GateConfig(unit, dynamic, 0.7) for unit in UNITS for dynamic in (False, True)]
every_gates = pytest.mark.parametrize("gates", EVERY, ids=lambda g: f"{g.unit}-{g.kind}")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADDAPT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def learner(tmp_path: Path) -> Learner:
    return Learner(small_backbone(), tmp_path / "store")


@pytest.fixture
def fake(tmp_path: Path, make_folder: MakeFolder) -> Learner:
    """Return one that has learned a gated domain."""
    learner = Learner(FakeEngine(), tmp_path / "store")
    learner.learn("colours", make_folder(), **FAKE)
    return learner


@every_gates
def test_learn_keep_and_use(learner: Learner, make_folder: MakeFolder, gates: GateConfig) -> None:
    folder = make_folder()
    report = learner.learn("colours", folder, gates=gates, **QUICK)
    said = report.gates["report"]
    assert said["compute"] <= 0.7
    assert report.val_accuracy == said["accuracy"]
    again = Learner(small_backbone(), learner.store.folder)
    info, model = again.load("colours")
    assert gates_from(info) == gates
    assert info.gates == json.loads(json.dumps(report.gates))
    images = [folder / "red/0.png", folder / "blue/0.png"]
    on, off = (again.predict(images, "colours", gates=used) for used in (True, False))
    assert [p.gated for p in on + off] == [True, True, False, False]
    assert [p.top for p in on] != [p.top for p in off]
    for used in (True, False):
        assert again.evaluate("colours", folder, gates=used).gated is used
    costs = []
    for used, px in ((True, info.image_px), (False, ungated_px(info))):
        model.use_gates(used)
        costs.append(model.multiply_adds(np.zeros((1, px, px, 3), np.uint8)))
    assert costs[0] < costs[1] or gates.dynamic  # that one image may need all


@pytest.mark.parametrize("gates", [gates for gates in EVERY if gates.dynamic], ids=lambda g: g.unit)
def test_same_seed_same_file(
    learner: Learner,
    make_folder: MakeFolder,
    gates: GateConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where the learning was stopped in between, before its first step or later."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    folder = make_folder()
    learner.learn("colours", folder, gates=gates, **QUICK)
    for steps in (1, 4):
        other = Learner(small_backbone(), tmp_path / f"other-{steps}")
        left = iter(range(steps))
        stopping = Controls(should_stop=lambda left=left: next(left, None) is None)  # type: ignore[misc]
        with pytest.raises(LearningStopped):
            other.learn("colours", folder, gates=gates, controls=stopping, **QUICK)
        other.learn("colours", folder, gates=gates, **QUICK)
        files = {each.store.path("colours").read_bytes() for each in (learner, other)}
        assert len(files) == 1


def test_gates_are_used_where_they_are_faster(
    fake: Learner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [tmp_path / "colours" / "red" / f"{i}.png" for i in range(6)]
    for without, used in ((1.5, True), (0.9, False)):
        monkeypatch.setenv("ADDAPT_CACHE", str(tmp_path / str(used)))
        monkeypatch.setattr(gating, "time_in_turns", lambda *_, without=without: (1.0, without))
        assert {p.gated for p in fake.predict(images, "colours")} == {used}
        assert fake.evaluate("colours", tmp_path / "colours").gated is used
        model = fake.load("colours")[1]
        assert isinstance(model, FakeModel) and model.gates is not None
        assert model.gates.active is used


def test_timed_once_and_remembered(
    fake: Learner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed: list[object] = []

    def slower(model: object, *images: object) -> tuple[float, float]:
        timed.append(model)
        return 1.0, 0.5

    monkeypatch.setattr(gating, "time_in_turns", slower)
    images = [tmp_path / "colours" / "red" / f"{i}.png" for i in range(6)]

    def asks_anew(learner: Learner) -> bool:
        timed.clear()
        assert not learner.predict(images, "colours")[0].gated
        assert len(timed) in (0, gating.TIMED_IMAGES)
        return bool(timed)

    def next_learner() -> Learner:
        return Learner(FakeEngine(), fake.store.folder)

    assert asks_anew(fake)
    assert not asks_anew(fake)
    assert not asks_anew(next_learner())
    assert Fork(lambda: sys.exit(asks_anew(next_learner()))).wait() == 0  # nor does another process
    more_threads = next_learner()
    more_threads.engine.threads = 2
    assert asks_anew(more_threads)
    newer = next_learner()
    monkeypatch.setattr(type(newer.engine), "versions", {"fake": "2"})
    assert asks_anew(newer)
    monkeypatch.setattr(type(newer.engine), "name", "false")
    assert asks_anew(newer)
    fake.learn("colours", tmp_path / "colours", restart=True, seed=1, **FAKE)
    assert asks_anew(fake)
    assert fake.predict(images, "colours", gates=True)[0].gated
    assert not asks_anew(fake)


def test_times_are_taken_in_turns_and_leave_the_gates_on(monkeypatch: pytest.MonkeyPatch) -> None:
    model = FakeEngine().new_model(Head(), 3, seed=0, gates=EVERY[3])
    assert model.gates is not None
    seen: list[tuple[bool, int]] = []
    clock = itertools.count()
    monkeypatch.setattr("addapt.learning.gating.time.perf_counter", lambda: float(next(clock)))
    real: Callable[[Any], Any] = model.logits

    def logits(images: Any) -> Any:
        seen.append((model.gates.active, images.shape[1]))  # type: ignore[union-attr]
        # A second more without gates, and many more the first time.
        for _ in range((not model.gates.active) + (10 if len(seen) <= 2 else 0)):  # type: ignore[union-attr]
            next(clock)
        return real(images)

    monkeypatch.setattr(model, "logits", logits)
    small, large = (np.zeros((1, px, px, 3), np.uint8) for px in (32, 64))
    model.gates.active = False
    assert gating.time_in_turns(model, small, large, rounds=1) == (1.0, 2.0)
    assert seen == [(True, 32), (False, 64)] * 2
    assert model.gates.active


def test_unreadable_images_are_told_about_once(fake: Learner, tmp_path: Path) -> None:
    messages: list[str] = []
    missing, there = (tmp_path / "colours" / "red" / name for name in ("none.png", "0.png"))
    assert fake.predict([missing], "colours", on_unreadable=messages.append) == []
    assert not (tmp_path / "cache").exists()  # nothing was timed
    assert len(fake.predict([missing, there], "colours", on_unreadable=messages.append)) == 1
    assert len(messages) == 2
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_domain_without_gates(tmp_path: Path, make_folder: MakeFolder) -> None:
    folder = make_folder()
    learner = Learner(FakeEngine(), tmp_path / "store")
    learner.learn("colours", folder, method="head", epochs=1)
    with pytest.raises(OptionError, match="'colours' has no gates: learn it with `gates`"):
        learner.predict([folder / "red/0.png"], "colours", gates=True)
    for used in (False, None):
        assert not learner.predict([folder / "red/0.png"], "colours", gates=used)[0].gated
    assert learner.store.info("colours").gates == {}


def test_too_little_compute_loses_nothing(learner: Learner, make_folder: MakeFolder) -> None:
    folder = make_folder()
    learner.learn("colours", folder, **QUICK)
    before = learner.store.path("colours").read_bytes()
    with pytest.raises(OptionError, match="With all that gates of blocks can leave out"):
        learner.learn(
            "colours", folder, gates=GateConfig("blocks", compute=0.01), restart=True, **QUICK
        )
    assert learner.store.path("colours").read_bytes() == before


def test_a_file_whose_gates_make_no_sense(fake: Learner) -> None:
    info, tensors = fake.store.read("colours")
    changes: list[dict[str, Any]] = [
        {"unit": "walls"},
        {"dynamic": 1},
        {"compute": 7.0},
        {"compute": "0.5"},
        {"full_px": -1},
        {"full_px": True},
        {"report": []},
        {"report": {"compute": None}},
        {"lose": 0.3},
        {"unit": "resolution", "looks": {}},
    ]
    for change in changes:
        wrong = dataclasses.replace(info, gates=info.gates | change)
        fake.store.save("colours", wrong, tensors)
        with pytest.raises(DomainError, match="colours.safetensors cannot be used."):
            fake.load("colours")


def test_predicting_in_inference_mode_and_beside_another_domain(
    learner: Learner, make_folder: MakeFolder
) -> None:
    folder = make_folder()
    learner.learn("colours", folder, gates=EVERY[2], **QUICK)
    images = [folder / "red/0.png"]
    expected = learner.predict(images, "colours", gates=True)
    learner.learn("later", make_folder("later", seed=3), gates=EVERY[3], **QUICK)
    again = Learner(small_backbone(), learner.store.folder)
    with torch.inference_mode():
        for each in (learner, again):
            assert each.predict(images, "colours", gates=True) == expected
