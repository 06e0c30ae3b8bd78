"""Two looks: who gets the second, how both are learned and kept, and what they cost."""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from addapt import GateConfig, Learner
from addapt._errors import DomainError, OptionError, TrainingError
from addapt.domains.info import TEMPERATURES
from addapt.domains.signature import PREFIX as SIGNATURE
from addapt.engines.base import Answers, Features, Images, Logits
from addapt.gates import Looks, looks_from
from addapt.images import ImageSet, load_images, scan_classes
from addapt.learning import Controls, LearningStopped, Progress, gating
from addapt.learning.checkpoint import STATE_FILE
from addapt.learning.loading import read_models
from addapt.learning.run import FIRST_LOOK_FOLDER
from addapt.learning.two_looks import (
    ALWAYS,
    FIRST,
    TwoLooks,
    first_look_px,
    settle_looks,
    threshold_for_loss,
    threshold_for_share,
)
from addapt.methods import Head
from tests.conftest import MakeFolder
from tests.fake_engine import FEATURES, FakeEngine, FakeModel
from tests.learning.test_recognising import draw, write

GATES = GateConfig("resolution", True, 0.6)
ASKED: dict[str, Any] = {"method": "head", "image_px": 64, "epochs": 3, "batch": 8}
FIRST_PX = 32  # of 64, by the share of GATES


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADDAPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")


@pytest.fixture
def learner(tmp_path: Path) -> Learner:
    return Learner(FakeEngine(), tmp_path / "store")


class Seen(FakeModel):
    """Is as sure as an image is bright, and tells images that it has seen by their size."""

    def __init__(self) -> None:
        super().__init__(FakeEngine(), 2, None)
        self.seen: list[tuple[int, ...]] = []

    def logits(self, images: Images) -> Logits:
        self.seen.append(images.shape)
        bright = images[:, 0, 0, 0].astype(np.float32) / 10
        return np.stack([bright, np.full_like(bright, -images.shape[1] / 1000)], axis=1)

    def answers(self, images: Images) -> Answers:
        logits = self.logits(images)
        return Answers(logits, np.full((len(images), 1), images.shape[1], np.float32))


def looking(threshold: float) -> tuple[TwoLooks, Seen, Seen]:
    full, first = Seen(), Seen()
    return TwoLooks(full, first, Looks(32, threshold, 0.5), "bilinear"), full, first


def bright_and_dark() -> Images:
    images = np.zeros((4, 64, 64, 3), np.uint8)
    images[1], images[3] = 100, 90
    return images


def test_the_unsure_are_looked_at_again_together() -> None:
    looks, full, first = looking(0.9)
    logits = looks.logits(bright_and_dark())
    assert logits[:, 1].tolist() == pytest.approx([-0.064, -0.032, -0.064, -0.032])
    assert (first.seen, full.seen) == ([(4, 32, 32, 3)], [(2, 64, 64, 3)])
    assert looks.open_shares([bright_and_dark(), bright_and_dark()[1:2]]) == ((0.6, 0.4),)


def test_features_are_those_of_the_look_that_answers() -> None:
    looks, full, first = looking(0.9)
    answers = looks.answers(bright_and_dark())
    assert answers.features[:, 0].tolist() == [64, 32, 64, 32]
    assert (first.seen, full.seen) == ([(4, 32, 32, 3)], [(2, 64, 64, 3)])
    assert np.array_equal(answers.logits, looks.logits(bright_and_dark()))
    looks.use_gates(False)
    assert looks.answers(bright_and_dark()).features[:, 0].tolist() == [64] * 4


def test_what_they_cost() -> None:
    looks, *_ = looking(0.9)
    small, whole = (FakeEngine().multiply_adds(px) for px in (32, 64))
    images = bright_and_dark()
    assert looks.multiply_adds(images) == 4 * small + 2 * whole
    assert looks.multiply_adds(images[[1]]) == small
    assert looks.once().multiply_adds(images) == 4 * small
    looks.use_gates(False)
    assert looks.multiply_adds(images) == 4 * whole


def test_one_look_in_full_without_gates_and_where_nothing_is_sure_enough() -> None:
    looks, full, first = looking(ALWAYS)
    images = bright_and_dark()
    expected = full.logits(images)
    assert np.array_equal(looks.logits(images), expected)
    assert len(first.seen) == 1
    looks, full, first = looking(0.9)
    looks.use_gates(False)
    assert np.array_equal(looks.logits(images), expected)
    assert first.seen == []


def test_the_threshold_for_a_share() -> None:
    sure = np.array([0.9, 0.5, 0.7, 0.6], np.float32)
    found = {share: threshold_for_share(sure, share) for share in (-0.1, 0.0, 0.3, 0.5, 0.99, 1.0)}
    shares = {share: float((sure < threshold).mean()) for share, threshold in found.items()}
    assert shares == {-0.1: 0, 0.0: 0, 0.3: 0.25, 0.5: 0.5, 0.99: 0.75, 1.0: 1}
    assert found[1.0] == ALWAYS


def test_the_threshold_for_a_loss() -> None:
    sure = np.array([0.9, 0.5, 0.7, 0.6, 0.7], np.float32)
    nothing, one, tied, surest = (
        np.array([place in lost for place in range(5)]) for lost in ((), (1,), (1, 2), (0,))
    )
    asked_again = [
        int((sure < threshold_for_loss(sure, lost, share)).sum())
        for lost, share in (
            (nothing, 0.0),
            (one, 0.0),
            (one, 0.2),
            (tied, 0.0),  # the other image of that sureness is looked at again as well
            (tied, 0.2),
            (surest, 0.19),
        )
    ]
    assert asked_again == [0, 1, 0, 4, 1, 5]


@pytest.fixture
def val(tmp_path: Path) -> ImageSet:
    """Return ten images, of which the first look is sure as they are bright; all are of class 0."""
    folder = tmp_path / "val" / "a"
    folder.mkdir(parents=True)
    for i in range(10):
        Image.new("RGB", (64, 64), (10 * i,) * 3).save(folder / f"{i}.png")
    samples = scan_classes(tmp_path / "val", ["a", "b"]).samples
    return load_images(samples, 64, "bilinear")[0]


@pytest.mark.parametrize(
    ("config", "second"),
    [(GATES, 0.3), (GateConfig("resolution", True, 1.0), 0.7), (replace(GATES, lose=0.0), 0.0)],
)
def test_settling(val: ImageSet, config: GateConfig, second: float) -> None:
    looks, report, scores = settle_looks(FakeEngine(), (Seen(), Seen()), 32, config, val, batch=3)
    assert (looks.first_px, looks.second_share) == (32, second)
    assert report.compute == pytest.approx(0.25 + second)
    assert report.open_shares == ((1 - second, second),)
    assert report.accuracy == scores.accuracy == report.ungated_accuracy == 1
    settled = TwoLooks(Seen(), Seen(), looks, "bilinear")
    assert settled.open_shares([val.batch(range(10))])[0][1] == second


def test_what_the_second_look_alone_gets_right_is_not_lost(val: ImageSet) -> None:
    class Wrong(Seen):
        def logits(self, images: Images) -> Logits:
            return super().logits(images)[:, ::-1].copy()

    looks, report, _ = settle_looks(
        FakeEngine(), (Seen(), Wrong()), 32, replace(GATES, lose=20.0), val, batch=8
    )
    assert looks.second_share == 0.8
    assert (report.accuracy, report.ungated_accuracy) == (0.8, 1.0)
    looks, report, _ = settle_looks(
        FakeEngine(), (Wrong(), Seen()), 32, replace(GATES, lose=0.0), val, batch=8
    )
    assert looks.second_share == 0
    assert (report.accuracy, report.ungated_accuracy) == (1.0, 0.0)


def test_the_size_of_the_first_look() -> None:
    engine = FakeEngine()
    assert first_look_px(engine, 64, GATES) == FIRST_PX
    assert first_look_px(engine, 224, GateConfig("resolution", True)) == 96
    with pytest.raises(OptionError, match=r"of 48 px cannot cost 40% .* at 32 px, costs 44%"):
        first_look_px(engine, 48, GateConfig("resolution", True))


def split(tensors: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the tensors of the look in full, and those of the first; no signature."""
    tensors = {n: t for n, t in tensors.items() if not n.startswith(SIGNATURE)}
    first = {n.removeprefix(FIRST): t for n, t in tensors.items() if n.startswith(FIRST)}
    return {n: t for n, t in tensors.items() if not n.startswith(FIRST)}, first


def test_all_open_is_the_ungated_domain_bit_for_bit(
    learner: Learner, make_folder: MakeFolder
) -> None:
    folder = make_folder()
    report = learner.learn("two", folder, gates=GATES, **ASKED)
    learner.learn("one", folder, **ASKED)
    (full, first), (one, _) = (split(learner.store.read(name)[1]) for name in ("two", "one"))
    assert full.keys() == first.keys() == one.keys()
    assert all(np.array_equal(full[name], one[name]) for name in one)
    assert not np.array_equal(first["head.weight"], one["head.weight"])
    images = [folder / "red/0.png", folder / "blue/0.png"]
    plain, open_ = (
        [p.top for p in learner.predict(images, domain, gates=False)] for domain in ("one", "two")
    )
    assert plain == open_
    said = report.gates
    assert report.image_px == said["full_px"] == 64
    assert (said["looks"]["first_px"], said["report"]["compute"] <= 0.6) == (FIRST_PX, True)
    assert report.val_accuracy == said["report"]["accuracy"]
    assert learner.store.info("one").val_accuracy == said["report"]["ungated_accuracy"]


def test_the_first_look_is_learned_from_small_images(
    learner: Learner, make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides: list[tuple[int, int]] = []
    step = FakeModel.step

    def watched(self: FakeModel, images: Images, labels: Any, *, batch: int) -> float:
        sides.append((images.shape[1], len(images)))
        return step(self, images, labels, batch=batch)

    monkeypatch.setattr(FakeModel, "step", watched)
    learner.learn("two", make_folder(), gates=GATES, micro_batch=2, **ASKED)
    # Four times as many of a quarter of the area take the same memory.
    most = {side: max(n for s, n in sides if s == side) for side, _ in sides}
    assert most[64] == 2 and 4 < most[32] <= 8
    assert [side for side, _ in sides] == sorted((side for side, _ in sides), reverse=True)


def stopping_after(steps: int) -> Controls:
    left = iter(range(steps))
    return Controls(should_stop=lambda: next(left, None) is None)


def test_stopped_anywhere_it_goes_on_to_the_same_file(
    learner: Learner, make_folder: MakeFolder, tmp_path: Path
) -> None:
    folder, asked = make_folder(), itertools.count()
    controls = Controls(should_stop=lambda: next(asked) < 0)
    learner.learn("two", folder, gates=GATES, controls=controls, **ASKED)
    total = next(asked)
    expected = learner.store.path("two").read_bytes()
    messages = []
    for steps in (1, total // 2 - 1, total // 2 + 1, total - 1):
        other = Learner(FakeEngine(), tmp_path / f"other-{steps}")
        with pytest.raises(LearningStopped) as stopped:
            other.learn("two", folder, gates=GATES, controls=stopping_after(steps), **ASKED)
        messages.append(re.findall("after .* epochs.*? \\(", str(stopped.value))[0])
        other.learn("two", folder, gates=GATES, **ASKED)
        assert other.store.path("two").read_bytes() == expected
        assert not other.store.state_path("two").exists()
    assert "of its first look" not in messages[0]
    assert "of its first look" in messages[-1]


def stop_in_first_look(learner: Learner, folder: Path) -> Path:
    """Stop a learning there; return where its state is."""

    def should_stop() -> bool:
        return (learner.store.state_path("two") / FIRST_LOOK_FOLDER / STATE_FILE).exists()

    with pytest.raises(LearningStopped, match="of its first look"):
        learner.learn(
            "two", folder, gates=GATES, controls=Controls(should_stop=should_stop), **ASKED
        )
    return learner.store.state_path("two")


def test_the_look_in_full_is_learned_once(learner: Learner, make_folder: MakeFolder) -> None:
    folder = make_folder()
    state = stop_in_first_look(learner, folder)
    left = state / FIRST_LOOK_FOLDER / ".state.safetensors.0123abcd.tmp"
    left.touch()
    phases: list[str] = []
    controls = Controls(on_progress=lambda event: phases.append(event.phase))
    learner.learn("two", folder, gates=GATES, controls=controls, **ASKED)
    assert set(phases) == {"reading images", "learning the first look"}
    assert not state.exists()


def test_restart_forgets_both(learner: Learner, make_folder: MakeFolder) -> None:
    folder = make_folder()
    stop_in_first_look(learner, folder)
    events: list[Progress] = []
    controls = Controls(on_progress=events.append)
    learner.learn("two", folder, gates=GATES, controls=controls, restart=True, **ASKED)
    for phase in ("learning", "learning the first look"):
        done = [event.done for event in events if event.phase == phase]
        assert done == list(range(1, len(done) + 1))


def test_another_share_is_another_learning(learner: Learner, make_folder: MakeFolder) -> None:
    folder = make_folder()
    stop_in_first_look(learner, folder)
    with pytest.raises(TrainingError, match="its gates .*`restart=True`"):
        learner.learn("two", folder, gates=replace(GATES, lose=1.0), **ASKED)


def test_each_look_is_extended_from_its_own(learner: Learner, make_folder: MakeFolder) -> None:
    folder = make_folder()
    learner.learn("two", folder, gates=GATES, **ASKED)
    before = split(learner.store.read("two")[1])
    said = learner.store.info("two").val_report
    temperatures = [said[name] for name in TEMPERATURES]
    started: list[Any] = []

    class Watched(FakeModel):
        def step(self, images: Images, labels: Any, *, batch: int) -> float:
            key = images.shape[1]
            if key not in [side for side, _ in started]:
                started.append((key, self.state()["head.weight"]))
            return super().step(images, labels, batch=batch)

    engine = learner.engine
    assert isinstance(engine, FakeEngine)
    engine.new_model = lambda *a, seed, gates: Watched(engine, a[1], gates)  # type: ignore[method-assign]
    with pytest.raises(OptionError, match="60% of the compute, 1 points to lose, but"):
        learner.learn("two", folder, extend=True, gates=replace(GATES, lose=1.0))
    report = learner.learn("two", folder, extend=True, epochs=1, batch=8)
    assert [side for side, _ in started] == [64, 32]
    assert temperatures[0] != temperatures[1]
    for (_, weight), learned, temperature in zip(started, before, temperatures, strict=True):
        # As it was before its probabilities were calibrated.
        expected = 0.6 * temperature * learned["head.weight"]
        np.testing.assert_allclose(weight, expected, rtol=1e-5)
    assert report.gates["looks"]["first_px"] == FIRST_PX


class Shifted(FakeEngine):
    """Gives other features of small images than of large ones, as a look of its own does."""

    def features(self, images: Images) -> Features:
        shift = np.linspace(-0.5, 0.5, FEATURES, dtype=np.float32)
        features: Features = super().features(images) + shift * (images.shape[1] == FIRST_PX)
        return features


def test_own_images_are_accepted_and_foreign_ones_refused_by_either_look(tmp_path: Path) -> None:
    folder, learner = tmp_path / "warm", Learner(Shifted(), tmp_path / "store")
    write(folder, "warm")
    learner.learn("warm", folder, gates=GATES, val_fraction=0.4, **ASKED)
    info = learner.store.info("warm")
    assert 0 < info.gates["looks"]["second_share"] < 1
    assert info.signature["spread"]["images"] == info.val_images
    own = [draw("warm", label, seed) for label in ("bright", "dark") for seed in range(100, 130)]
    foreign = [draw("foreign", "bright", seed) for seed in range(20)]
    for gates in (True, False):
        found = learner.recognise(own, "warm", gates=gates)
        assert np.mean([one.domain == "warm" for one in found]) > 0.85
        assert {one.gated for one in found} == {gates}
        assert all(one.domain is None for one in learner.recognise(foreign, "warm", gates=gates))
        assert [one.top for one in learner.recognise(own, "warm", gates=gates)] == [
            one.top for one in learner.predict(own, "warm", gates=gates)
        ]
    _, tensors = learner.store.read("warm")
    learner.store.save("warm", replace(info, signature={}), tensors)
    learner.index("warm", folder)
    assert learner.store.info("warm").signature == info.signature


def test_gates_are_used_if_both_looks_together_are_faster(
    learner: Learner, make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The images at hand may all be easy, and so tell nothing of how often there is a second."""
    folder = make_folder()
    learner.learn("two", folder, gates=GATES, **ASKED)
    _, tensors = learner.store.read("two")
    info = learner.store.info("two")
    image = [folder / "red/0.png"]
    looked: list[Any] = []

    def timed(model: Any, *_: Any) -> tuple[float, float]:
        looked.append(model)
        return 0.3, 1.0

    monkeypatch.setattr(gating, "time_in_turns", timed)
    for second, used in ((0.6, True), (0.8, False)):
        looks = info.gates["looks"] | {"second_share": second}
        learner.store.save("two", replace(info, gates=info.gates | {"looks": looks}), tensors)
        assert learner.predict(image, "two")[0].gated is used
    assert {model.looks.threshold for model in looked} == {0.0}


def test_a_file_says_how_it_looks_or_cannot_be_used(
    learner: Learner, make_folder: MakeFolder
) -> None:
    learner.learn("two", make_folder(), gates=GATES, **ASKED)
    info, tensors = learner.store.read("two")
    looks = looks_from(info)
    assert looks is not None and looks.first_px == FIRST_PX
    assert {array.shape for look in split(tensors) for array in look.values()} == {
        (3, FEATURES),
        (3,),
    }
    with learner.store.open("two") as file:
        assert len(read_models(file, learner.engine)) == 2
    for change in (
        {"first_px": 8},
        {"first_px": 65},
        {"first_px": 32.0},
        {"threshold": "1"},
        {"second_share": 1.5},
        {"more": 1},
    ):
        wrong = replace(info, gates=info.gates | {"looks": info.gates["looks"] | change})
        learner.store.save("two", wrong, tensors)
        with pytest.raises(DomainError, match="two.safetensors cannot be used. Its gates are"):
            learner.load("two")
    del tensors[f"{FIRST}head.bias"]
    learner.store.save("two", info, tensors)
    with pytest.raises(DomainError, match="Its tensor 'first_look.head.bias' is missing"):
        learner.load("two")


def test_a_file_whose_looks_share_one_adaptor_says_what_to_do(
    learner: Learner, make_folder: MakeFolder
) -> None:
    learner.learn("old", make_folder(), **ASKED)
    info, tensors = learner.store.read("old")
    gates = {"unit": "resolution", "dynamic": True, "compute": 0.6, "full_px": 64}
    old = replace(info, gates=gates | {"report": {"compute": 0.6}})
    learner.store.save("old", old, tensors | {"looks.threshold": np.array(0.9)})
    with pytest.raises(DomainError, match="share one adaptor.*Learn the domain again"):
        learner.load("old")


def test_a_model_has_no_gates_of_resolution() -> None:
    assert FakeEngine().new_model(Head(), 3, seed=0, gates=GATES).gates is None


def test_images_of_an_iterator_are_answered_one_by_one(
    learner: Learner, make_folder: MakeFolder
) -> None:
    folder = make_folder()
    learner.learn("two", folder, gates=GATES, **ASKED)
    images = sorted((folder / "red").iterdir())

    def one_by_one() -> Iterator[Path]:
        yield from images

    together = learner.predict(images, "two", gates=True)
    alone = list(learner.predict_each(one_by_one(), "two", gates=True))
    assert [p.label for p in together] == [p.label for p in alone]
