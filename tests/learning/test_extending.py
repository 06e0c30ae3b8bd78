"""Going on with a domain: what it starts from, what it decides, and that nothing gets lost."""

import errno
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from addapt import GateConfig, Learner
from addapt._errors import (
    AddaptError,
    DataError,
    DomainError,
    OptionError,
    TrainingError,
    UnknownNameError,
)
from addapt.domains import SCHEMA
from addapt.engines import open_engine
from addapt.engines.base import State
from addapt.gates import UNITS
from addapt.learning import Controls, LearningStopped
from addapt.learning.calibration import with_temperature
from addapt.learning.extending import START_FILE, grown
from addapt.learning.held_out import held_out_before
from addapt.methods import DA3, METHODS, Head, Piggyback, build_method
from tests.conftest import MakeFolder, build_tiny_backbone
from tests.engines.torch.gates.small_backbones import small_backbone
from tests.fake_engine import FakeEngine
from tests.faults import fail
from tests.forks import Fork
from tests.learning.test_resume import LATE, Killed

KNOWN, MORE = ("blue", "red"), ("amber", "blue", "green", "red")
STOP = Controls(should_stop=lambda: True)
QUICK: dict[str, Any] = {"epochs": 2, "batch": 8}


@pytest.fixture(autouse=True)
def _same_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


@pytest.fixture
def learner(tmp_path: Path, make_folder: MakeFolder) -> Learner:
    """Return one whose domain "x" knows blue and red."""
    learner = Learner(FakeEngine(), tmp_path / "s")
    learner.learn("x", make_folder("known", KNOWN, 12), method="head", image_px=32, **QUICK)
    return learner


@pytest.fixture
def more(make_folder: MakeFolder) -> Path:
    return make_folder("more", MORE, images=12, seed=1)  # fewer in a class are told of


def content(learner: Learner) -> bytes:
    return learner.store.path("x").read_bytes()


def test_new_classes_come_behind_the_old_ones(
    learner: Learner, more: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Head, "recipe", replace(Head.recipe, epochs=80, min_steps=1, patience=1))
    report = learner.learn("x", more, extend=True, batch=8)
    info = learner.store.info("x")
    assert info.classes == report.classes == ("blue", "red", "amber", "green")
    assert report.epochs == 40  # half of the recipe's
    for label in ("amber", "red"):
        assert learner.predict([more / label / "0.png"], "x")[0].label in (label, "red", "amber")
    assert learner.evaluate("x", more).accuracy > 0.6  # amber and red are the same colour
    assert report.extended == info.options["extended"][0]
    assert report.extended["classes"] == 2
    assert report.extended["date"] == "2023-11-14T22:13:20+00:00"
    assert (report.image_px, report.warnings) == (32, ())
    learner.learn("x", more, extend=True, **QUICK)
    assert [each["classes"] for each in learner.store.info("x").options["extended"]] == [2, 4]


@pytest.mark.parametrize("method", sorted(METHODS))
def test_where_every_method_starts(tmp_path: Path, make_folder: MakeFolder, method: str) -> None:
    plain = METHODS[method].plain
    learner = Learner(build_tiny_backbone() if plain else small_backbone(), tmp_path / "s")
    _assert_start(learner, make_folder, METHODS[method]())


def test_where_the_device_engine_starts(tmp_path: Path, make_folder: MakeFolder) -> None:
    _assert_start(Learner(open_engine(engine="onnx"), tmp_path / "s"), make_folder, LATE)


def _assert_start(learner: Learner, make_folder: MakeFolder, method: Any) -> None:
    """Extend at a rate at which nothing is learned: between a new model and what was learned."""
    small: dict[str, Any] = {"epochs": 1, "batch": 8}
    learner.learn("x", make_folder("known", KNOWN), method=method, image_px=32, lr=1e-2, **small)
    before = _as_learned(learner)
    assert np.any(before["head.weight"]) and np.any(before["head.bias"])
    learner.learn("x", make_folder("more", MORE), extend=True, lr=1e-12, **small)
    _, model = learner.load("x")
    after = _as_learned(learner)
    spelt_out = build_method(method.name, learner.store.info("x").hyperparameters)
    new = learner.engine.new_model(spelt_out, len(MORE), seed=0).state()
    assert before.keys() == after.keys() == new.keys()
    before["head.weight"] = np.concatenate((before["head.weight"], new["head.weight"][2:]))
    before["head.bias"] = new["head.bias"]
    for name in model.trained:
        if isinstance(method, Piggyback) and not name.startswith("head."):  # bits are kept of it
            expected = before[name]
        else:
            expected = 0.4 * new[name] + 0.6 * before[name]
        np.testing.assert_allclose(after[name], expected, atol=1e-6)


def _as_learned(learner: Learner) -> State:
    """Return the state of the domain "x" before its probabilities were calibrated."""
    info, model = learner.load("x")
    return with_temperature(model.state(), 1 / info.val_report["temperature"])


def test_another_engine_goes_on(tmp_path: Path, make_folder: MakeFolder) -> None:
    folder = make_folder("known", KNOWN)
    small: dict[str, Any] = {"epochs": 1, "batch": 8}
    for engine in ("onnx", "torch"):
        learner = Learner(store=tmp_path, engine=engine)
        if engine == "onnx":
            learner.learn("x", folder, method=LATE, image_px=32, **small)
        else:
            report = learner.learn("x", make_folder("more", MORE), extend=True, **small)
    assert report.classes == ("blue", "red", "amber", "green")
    assert "torch" in learner.store.info("x").versions


def test_options_are_those_that_it_was_learned_with(learner: Learner, more: Path) -> None:
    learner.store.remove("x")
    learner.learn("x", more, method="head", image_px=48, batch=5, lr=2e-3, flip=True, epochs=1)
    learner.learn("x", more, extend=True, epochs=1)
    info = learner.store.info("x")
    assert (info.image_px, info.options["batch"], info.options["lr"]) == (48, 5, 2e-3)
    assert info.options["augmentation"]["flip"]
    asked: Any = {"method": "head", "image_px": 48, "gates": None}  # the same, or what is open
    learner.learn("x", more, extend=True, batch=6, lr=1e-3, epochs=1, **asked)
    options = learner.store.info("x").options
    assert (options["batch"], options["lr"]) == (6, 1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "da3"}, r"`method` is 'da3', but the domain 'x'.* with 'head': leave `method`"),
        ({"method": DA3()}, "`method` is 'da3', but"),
        ({"image_px": 64}, "`image_px` is 64, but the domain 'x', .* was learned with 32"),
        (
            {"gates": GateConfig()},
            "`gates` is static gates of resolution and 40% of the compute, .* learned with none",
        ),
        ({"restart": True}, "`extend` goes on with the domain 'x', and `restart` learns it anew"),
        ({"epochs": 0}, "`epochs` is 0"),
        ({"colour": 1}, "'colour'"),
    ],
    ids=str,
)
def test_options_that_contradict_the_domain(
    learner: Learner, more: Path, options: dict[str, Any], message: str
) -> None:
    before = content(learner)
    with pytest.raises(AddaptError, match=message):
        learner.learn("x", more, extend=True, **options)
    assert content(learner) == before
    assert not learner.store.state_path("x").exists()


def test_hyperparameters_that_contradict_the_domain(
    tmp_path: Path, make_folder: MakeFolder
) -> None:
    learner = Learner(build_tiny_backbone(), tmp_path / "s")
    folder = make_folder("known", KNOWN)
    learner.learn("x", folder, method=DA3(kernel=3), image_px=32, epochs=1)
    with pytest.raises(OptionError, match="`kernel` is 5, but the domain 'x', .* with 3"):
        learner.learn("x", folder, method=DA3(), extend=True, epochs=1)
    for method in ("da3", DA3(kernel=3)):  # a name says nothing about them
        learner.learn("x", folder, method=method, extend=True, epochs=1)
        assert learner.store.info("x").hyperparameters["kernel"] == 3


def test_domains_that_cannot_be_extended(learner: Learner, more: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Unknown domain 'y'"):
        learner.learn("y", more, extend=True)
    other = Learner(FakeEngine("0" * 64), learner.store.folder)
    with pytest.raises(DomainError, match="x was learned on fake .* other weights"):
        other.learn("x", more, extend=True)
    whole = content(learner)
    now, newer = b'\\"schema\\": %d' % SCHEMA, b'\\"schema\\": 99'
    assert now in whole and len(now) == len(newer)
    path = learner.store.path("x")
    path.write_bytes(whole.replace(now, newer))
    with pytest.raises(DomainError, match="newer addapt"):
        learner.learn("x", more, extend=True)
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(DomainError, match="damaged"):
        learner.learn("x", more, extend=True, **QUICK)


def test_a_domain_that_is_replaced_while_images_are_found(
    learner: Learner, more: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replace_domain(*_: object) -> None:
        info, tensors = learner.store.read("x")
        learner.store.save("x", replace(info, seed=1), tensors)

    monkeypatch.setattr("addapt.learning.teaching.date", replace_domain)
    with pytest.raises(DomainError, match="'x' was replaced by another program just now"):
        learner.learn("x", more, extend=True)


def test_a_folder_without_a_known_class(learner: Learner, make_folder: MakeFolder) -> None:
    """It would be forgotten, while the accuracy on what is there looks good; see LOG."""
    before = content(learner)
    with pytest.raises(DataError, match="no image of 'blue', which the domain 'x' knows and would"):
        learner.learn("x", make_folder("new", ("green", "red")), extend=True, **QUICK)
    assert content(learner) == before
    learner.learn(
        "y", make_folder("many", tuple("abcdefgh"), 12), method="head", image_px=32, **QUICK
    )
    with pytest.raises(DataError, match="no image of 'a', 'b', 'c', 'd', 'e' and 2 more, which"):
        learner.learn("y", make_folder("one", ("h", "red"), 12), extend=True, **QUICK)


def test_images_held_out_stay_held_out(learner: Learner, make_folder: MakeFolder) -> None:
    folder = make_folder("many", KNOWN, images=20, seed=3)
    first = learner.learn("y", folder, method="head", image_px=32, **QUICK)
    before = held_out_before(learner.store.info("y"))
    assert before is not None
    assert (first.val_images, len(before)) == (4, 4)
    for path in make_folder("again", MORE, images=40, seed=4).glob("*/*.png"):
        place = folder / path.parent.name / f"more-{path.name}"
        place.parent.mkdir(exist_ok=True)
        shutil.copy(path, place)
    report = learner.learn("y", folder, extend=True, seed=5, **QUICK)
    assert (report.val_images, report.warnings) == (4 + 2 * 4, ())  # none of blue and red is new
    after = held_out_before(learner.store.info("y"))
    assert after is not None
    assert np.isin(before, after).all() and len(after) == 12


def test_it_is_told_if_nothing_is_known_of_those_held_out(
    learner: Learner, make_folder: MakeFolder
) -> None:
    folder = make_folder("split", KNOWN, 12)
    (folder / "train").mkdir()
    for label in KNOWN:
        (folder / label).rename(folder / "train" / label)
    shutil.copytree(make_folder("other", KNOWN, seed=2), folder / "val")
    learner.learn("y", folder, method="head", image_px=32, **QUICK)
    assert "held_out" not in learner.store.info("y").options
    assert learner.learn("y", folder, extend=True, **QUICK).warnings == ()
    (warning,) = learner.learn("y", folder / "train", extend=True, **QUICK).warnings
    assert warning.startswith("It is not known which images were held out when 'y' was learned")


def write_deep_images(folder: Path, low: int, high: int) -> Path:
    """Write class folders of grey images of 16 bits."""
    for place, label in enumerate(KNOWN):
        (folder / label).mkdir(parents=True)
        for number in range(4):
            values = np.linspace(low, high - place * (high - low) // 2, 40 * 40).reshape(40, 40)
            deep = Image.fromarray((values + number).astype(np.uint16))
            deep.save(folder / label / f"{number}.png")
    return folder


def test_the_range_of_grey_values_stays(tmp_path: Path) -> None:
    learner = Learner(FakeEngine(), tmp_path / "s")
    dark, bright = (write_deep_images(tmp_path / str(high), 290, high) for high in (700, 60_000))
    first = learner.learn("x", dark, method="head", image_px=32, **QUICK)
    assert 600 < first.value_range[1] < 800
    assert learner.learn("x", bright, extend=True, **QUICK).value_range == first.value_range


@pytest.mark.parametrize(
    ("engine", "gates"),
    [
        ("fake", GateConfig()),
        ("fake", GateConfig("blocks", True, 0.7)),
        *(("torch", GateConfig(unit, True, 0.7)) for unit in UNITS),
    ],
    ids=str,
)
def test_gates_stay(
    tmp_path: Path, make_folder: MakeFolder, more: Path, engine: str, gates: GateConfig
) -> None:
    learner = Learner(FakeEngine() if engine == "fake" else small_backbone(), tmp_path / "s")
    method = "head" if engine == "fake" else "da3"
    options: dict[str, Any] = {"method": method, "image_px": 64, "gates": gates, **QUICK}
    first = learner.learn("x", make_folder("g", KNOWN), **options)
    report = learner.learn("x", more, extend=True, **QUICK)
    assert report.image_px == first.image_px
    kept = ("unit", "dynamic", "compute", "full_px")
    assert [report.gates[key] for key in kept] == [first.gates[key] for key in kept]
    assert learner.evaluate("x", more, gates=True).gated
    with pytest.raises(OptionError, match="`gates` is static gates of blocks and 60% of the"):
        learner.learn("x", more, extend=True, gates=GateConfig("blocks"))


class KilledExtension(Killed):
    """Extends "x" of a store that is a copy of another one."""

    def __init__(self, backbone: Any, store: Path, folder: Path, source: Path) -> None:
        shutil.copytree(source, store)
        super().__init__(backbone, store, folder)

    def learn(self, *words: Any, **options: Any) -> list[int]:
        return super().learn(*words, extend=True, **options)


def test_killed_at_every_step(learner: Learner, more: Path, tmp_path: Path) -> None:
    before = content(learner)
    whole, parts = (
        KilledExtension(FakeEngine(), tmp_path / name, more, learner.store.folder)
        for name in ("whole", "parts")
    )
    steps = whole.learn()
    assert len(steps) > 4
    for step in steps:
        parts.learn_until(step)
        assert content(parts.learner) == before
        assert (parts.state_path / START_FILE).read_bytes() == before
    assert parts.learn() == steps[-1:]
    assert content(parts.learner) == content(whole.learner) != before
    assert not parts.state_path.exists()


def test_killed_when_the_domain_is_there_and_the_state_still_is(
    learner: Learner, more: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("addapt.learning.run.remove_run", lambda folder: None)
        learner.learn("x", more, extend=True, **QUICK)
    extended = content(learner)
    assert learner.learn("x", more, extend=True, **QUICK).epochs == 2  # all of them done before
    assert content(learner) == extended


def test_a_process_that_is_killed_before_its_first_state(
    learner: Learner, more: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def extend() -> None:
        monkeypatch.setattr("addapt.learning.saving.save_run", lambda *_: exit(3))
        learner.learn("x", more, extend=True, **QUICK)

    assert Fork(extend).wait() == 3
    assert (learner.store.state_path("x") / START_FILE).exists()
    learner.learn("x", more, restart=True, method="head", image_px=32, **QUICK)  # is no extension
    assert len(learner.store.info("x").classes) == 4
    assert not learner.store.state_path("x").exists()


def test_an_unfinished_extension_is_continued_as_such_alone(learner: Learner, more: Path) -> None:
    same: dict[str, Any] = {"method": "head", "image_px": 32, **QUICK}
    before = content(learner)
    with pytest.raises(LearningStopped, match="do the same again to go on"):
        learner.learn("x", more, extend=True, controls=STOP, **QUICK)
    with pytest.raises(TrainingError, match=r"domain to start from changed\. Give `extend=True`"):
        learner.learn("x", more, **same)
    assert content(learner) == before
    learner.learn("x", more, extend=True, **QUICK)
    with pytest.raises(LearningStopped):
        learner.learn("x", more, restart=True, controls=STOP, **same)
    with pytest.raises(TrainingError, match=r"to start from changed\. Give no `extend`"):
        learner.learn("x", more, extend=True, **QUICK)
    learner.learn("x", more, extend=True, restart=True, **QUICK)  # gives the other one up
    assert [each["classes"] for each in learner.store.info("x").options["extended"]] == [2, 4]


def test_a_domain_that_was_replaced_since_its_extension_began(learner: Learner, more: Path) -> None:
    with pytest.raises(LearningStopped):
        learner.learn("x", more, extend=True, controls=STOP, **QUICK)
    info, tensors = learner.store.read("x")
    learner.store.save("x", replace(info, seed=1), tensors)
    newer = content(learner)
    with pytest.raises(DomainError, match="replaced since its extension began.*`restart=True`"):
        learner.learn("x", more, extend=True, **QUICK)
    assert content(learner) == newer
    learner.learn("x", more, extend=True, restart=True, **QUICK)
    assert len(learner.store.info("x").classes) == 4


def test_a_disk_that_refuses_the_copy(
    learner: Learner, more: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(learner)
    with monkeypatch.context() as patch:
        patch.setattr("addapt.learning.extending.write_atomically", lambda *_: fail(errno.ENOSPC))
        with pytest.raises(TrainingError, match="to start from could not be kept .* disk is full"):
            learner.learn("x", more, extend=True, **QUICK)
    assert content(learner) == before
    learner.learn("x", more, extend=True, **QUICK)


def test_a_method_of_which_more_than_rows_depends_on_the_classes() -> None:
    learned = {"a": np.ones((2, 3), np.float32)}
    assert grown(learned, {"a": np.zeros((3, 3), np.float32)}, 2)["a"].tolist() == [
        [1, 1, 1],
        [1, 1, 1],
        [0, 0, 0],
    ]
    for new in ({"a": np.zeros((3, 4))}, {"b": np.zeros((2, 3))}, {"a": np.zeros(())}):
        with pytest.raises(DomainError, match="depend on the number of classes otherwise"):
            grown(learned, new, 2)


def test_options_in_a_strangers_file(learner: Learner, more: Path) -> None:
    info, tensors = learner.store.read("x")
    odd = {"batch": "many", "lr": -1.0, "augmentation": [], "extended": {"a": 1}, "held_out": "!"}
    learner.store.save("x", replace(info, options=odd), tensors)
    learner.learn("x", more, extend=True, epochs=1)
    options = learner.store.info("x").options
    assert (options["batch"], options["lr"]) == (Head.recipe.batch, Head.recipe.lr)
    assert len(json.loads(json.dumps(options["extended"]))) == 1
