"""Gated domains: learned, kept, used where they are faster, and told about."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from addapt import Gates, Learner
from addapt._errors import DomainError, OptionError
from addapt.domains import DomainInfo, read_domain
from addapt.engines.torch.gates import UNITS, count_multiply_adds
from addapt.engines.torch.methods import gates_of, switch_gates
from addapt.learning import LearningStopped, answering, gating
from tests.conftest import MakeFolder
from tests.engines.torch.gates.small_backbones import small_backbone

QUICK: dict[str, Any] = {"epochs": 2, "batch": 8, "image_px": 64, "lr": 1e-2}
EVERY = [Gates(unit, dynamic, 0.7) for unit in UNITS for dynamic in (False, True)]
every_gates = pytest.mark.parametrize("gates", EVERY, ids=lambda g: f"{g.unit}-{g.kind}")


@pytest.fixture
def learner(tmp_path: Path) -> Learner:
    return Learner(small_backbone(), tmp_path / "store")


@every_gates
def test_learn_keep_and_use(learner: Learner, make_folder: MakeFolder, gates: Gates) -> None:
    folder = make_folder()
    report = learner.learn("colours", folder, gates=gates, **QUICK)
    said = report.gates["report"]
    assert said["compute"] <= 0.7
    assert report.val_accuracy == said["accuracy"]
    again = Learner(small_backbone(), learner.store.folder)
    info, model = again.load("colours")
    assert gating.gates_from(info) == gates
    assert info.gates == json.loads(json.dumps(report.gates))
    images = [folder / "red/0.png", folder / "blue/0.png"]
    on, off = (again.predict(images, "colours", gates=used) for used in (True, False))
    assert [p.gated for p in on + off] == [True, True, False, False]
    assert [p.top for p in on] != [p.top for p in off]
    for used in (True, False):
        assert again.evaluate("colours", folder, gates=used).gated is used
    sizes = {True: info.image_px, False: gating.ungated_px(info)}
    costs = []
    for used, px in sizes.items():
        switch_gates(model, used)
        costs.append(count_multiply_adds(model, torch.zeros(1, 3, px, px)))
    assert costs[0] < costs[1] or gates.dynamic  # that one image may need all


@every_gates
def test_same_seed_same_file(
    learner: Learner,
    make_folder: MakeFolder,
    gates: Gates,
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
        with pytest.raises(LearningStopped):
            other.learn(
                "colours",
                folder,
                gates=gates,
                should_stop=lambda left=left: next(left, None) is None,  # type: ignore[misc]
                **QUICK,
            )
        other.learn("colours", folder, gates=gates, **QUICK)
        files = (each.store.path("colours").read_bytes() for each in (learner, other))
        assert len(set(files)) == 1


def test_another_domain_is_as_it_was(learner: Learner, make_folder: MakeFolder) -> None:
    x = torch.randn(4, 3, 64, 64)
    learner.learn("first", make_folder(), gates=EVERY[4], **QUICK)
    before = learner.load("first")[1](x)
    learner.learn("later", make_folder("later", seed=3), gates=EVERY[3], **QUICK)
    assert torch.equal(learner.load("first")[1](x), before)


def test_gates_are_used_where_they_are_faster(
    learner: Learner, make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder()
    learner.learn("colours", folder, gates=EVERY[2], **QUICK)
    for times, used in ((1.5, True), (0.9, False)):
        tried: list[float] = []
        monkeypatch.setattr(
            answering, "speed_up", lambda *_, times=times, tried=tried: tried.append(times) or times
        )
        again = Learner(small_backbone(), learner.store.folder)
        assert again.predict([folder / "red/0.png"], "colours")[0].gated is used
        assert again.evaluate("colours", folder).gated is used
        assert len(tried) == 1
    monkeypatch.undo()
    assert learner.predict([folder / "red/0.png"], "colours")[0].gated in (True, False)


def test_speed_up_leaves_the_gates_on(learner: Learner, make_folder: MakeFolder) -> None:
    folder = make_folder()
    learner.learn("colours", folder, gates=EVERY[2], **QUICK)
    _, model = learner.load("colours")
    lesson = gating.measuring_batches(model, _images(folder), 4).images
    assert gating.speed_up(model, lesson, lesson) > 0
    gates = gates_of(model)
    assert gates is not None and gates.active


def _images(folder: Path) -> Any:
    from addapt.images import load_images, scan_classes

    samples = scan_classes(folder, ("blue", "green", "red"))
    return load_images(samples, 64, "bicubic")[0]


def test_unreadable_images_are_told_about_once(learner: Learner, make_folder: MakeFolder) -> None:
    folder = make_folder()
    learner.learn("colours", folder, gates=EVERY[0], **QUICK)
    messages: list[str] = []
    missing = folder / "red/none.png"
    predictions = learner.predict(
        [missing, folder / "red/0.png"], "colours", on_unreadable=messages.append
    )
    assert len(predictions) == 1
    assert len(messages) == 1
    assert learner.predict([missing], "colours", on_unreadable=messages.append) == []


def test_a_domain_without_gates(learner: Learner, make_folder: MakeFolder) -> None:
    folder = make_folder()
    learner.learn("colours", folder, **QUICK)
    with pytest.raises(OptionError, match="'colours' has no gates: learn it with --gates"):
        learner.predict([folder / "red/0.png"], "colours", gates=True)
    assert not learner.predict([folder / "red/0.png"], "colours", gates=False)[0].gated


def test_too_little_compute_loses_nothing(learner: Learner, make_folder: MakeFolder) -> None:
    folder = make_folder()
    learner.learn("colours", folder, **QUICK)
    before = learner.store.path("colours").read_bytes()
    with pytest.raises(OptionError, match="With all that gates of blocks can leave out"):
        learner.learn("colours", folder, gates=Gates("blocks", compute=0.01), restart=True, **QUICK)
    assert learner.store.path("colours").read_bytes() == before


WRONG = [
    {"unit": "walls"},
    {"dynamic": 1},
    {"compute": 7.0},
    {"compute": "0.5"},
    {"full_px": -1},
    {"full_px": True},
    {"report": []},
    {"report": {"compute": None}},
]


@pytest.mark.parametrize("change", WRONG, ids=str)
def test_a_file_whose_gates_make_no_sense(
    learner: Learner, make_folder: MakeFolder, change: dict[str, Any]
) -> None:
    learner.learn("colours", make_folder(), gates=EVERY[2], **QUICK)
    info, tensors = learner.store.read("colours")
    wrong = dataclasses.replace(info, gates=info.gates | change)
    learner.store.save("colours", wrong, tensors)
    with pytest.raises(DomainError, match="colours.safetensors cannot be used"):
        learner.load("colours")


def test_channels_that_do_not_exist(learner: Learner, make_folder: MakeFolder) -> None:
    learner.learn("colours", make_folder(), gates=EVERY[4], **QUICK)
    path = learner.store.path("colours")
    info, tensors = read_domain(path)
    name = next(name for name in tensors if name.endswith(".order"))
    tensors[name][0] = 10**6
    learner.store.save("colours", info, tensors)
    with pytest.raises(DomainError, match="channels that the backbone does not have"):
        learner.load("colours")


def test_older_files_have_no_gates(learner: Learner, make_folder: MakeFolder) -> None:
    learner.learn("colours", make_folder(), **QUICK)
    info, _ = learner.store.read("colours")
    values = json.loads(info.to_json())
    assert values.pop("gates") == {}
    old = DomainInfo.from_json(json.dumps(values | {"schema": 4}))
    assert gating.gates_from(old) is None
    with pytest.raises(DomainError, match="'gates' is missing"):
        DomainInfo.from_json(json.dumps(values))
