"""Which domain an image is of, or none: on an engine that sees the mean colours of quarters."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from addapt._errors import DamagedError, DataError, DomainError, OptionError, UnknownNameError
from addapt.domains import SCHEMA, DomainFile, Planes, Signature, Store
from addapt.engines.base import Engine, Features, Images
from addapt.learning import Controls, Learner, LearningStopped, signing
from addapt.learning.recognising import MOST_ASKED
from addapt.watching import Watching
from tests.fake_engine import FakeEngine, FakeModel

# A colour for each quarter of an image. Classes of a domain differ in the last quarter.
KINDS = {
    "warm": ((230, 20, 20), (200, 90, 10), (220, 20, 40)),
    "cold": ((20, 20, 230), (10, 120, 200), (30, 220, 220)),
    "grey": ((20, 20, 20), (230, 230, 230), (30, 30, 30)),
    "foreign": ((20, 230, 20), (230, 20, 230), (20, 230, 20)),
}
QUICK: dict[str, Any] = {"epochs": 3, "batch": 8, "method": "head", "val_fraction": 0.4}
LAST = {"bright": (240, 240, 240), "dark": (15, 15, 15)}


def draw(kind: str, label: str, seed: int, px: int = 48) -> npt.NDArray[np.uint8]:
    rng, half = np.random.default_rng(seed), px // 2
    image = np.empty((px, px, 3))
    quarters = [*KINDS[kind], LAST[label]]
    for place, colour in enumerate(quarters):
        part = np.s_[half * (place // 2) :, half * (place % 2) :]
        image[part] = np.array(colour) + rng.normal(0, 12, 3)
    noise = rng.normal(0, 10, (px, px, 3))
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def write(folder: Path, kind: str, images: int = 30) -> Path:
    for label in LAST:
        (folder / label).mkdir(parents=True)
        for seed in range(images):
            Image.fromarray(draw(kind, label, seed)).save(folder / label / f"{seed}.png")
    return folder


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the store of three domains, of which one has larger images."""
    folder = tmp_path_factory.mktemp("recognising")
    learner = Learner(FakeEngine(), folder / "store")
    for kind, px in (("warm", 48), ("cold", 64), ("grey", 48)):
        learner.learn(kind, write(folder / kind, kind), **QUICK, image_px=px)
    return folder / "store"


@pytest.fixture
def learner(stored: Path) -> Learner:
    return Learner(FakeEngine(), stored)


def images(*kinds: str, first: int = 100) -> list[npt.NDArray[np.uint8]]:
    return [draw(kind, label, first + i) for kind in kinds for label in LAST for i in range(5)]


def test_each_image_finds_its_domain_and_its_class(learner: Learner) -> None:
    kinds = ("warm", "cold", "grey")
    found = learner.recognise(images(*kinds), accept=0.99)
    assert len(found) == 30
    right = [
        one.domain == kind and one.label == label
        for one, (kind, label) in zip(
            found,
            [(kind, label) for kind in kinds for label in LAST for _ in range(5)],
            strict=True,
        )
    ]
    assert sum(right) >= 28
    for number, one in enumerate(found):
        assert one.image == number
        assert one.looks.keys() == set(kinds)
        assert one.distances[one.nearest] == one.distance == min(one.distances.values())  # type: ignore[type-var]
        assert min(one.looks, key=lambda name: one.looks[name]) == one.nearest
        assert one.domain in (None, one.nearest)


def test_foreign_images_are_none_of_these_unless_that_is_switched_off(learner: Learner) -> None:
    for one in learner.recognise(images("foreign")):
        assert (one.domain, one.label, one.probability) == (None, None, None)
        assert one.distance is not None and one.limit is not None
        assert one.distance > one.limit == 1
        assert one.top[0][0] in LAST and one.nearest in KINDS  # what it would be
    for one in learner.recognise(images("foreign"), accept=None):
        assert one.domain == one.nearest and one.label == one.top[0][0]
        assert one.limit is None


def test_a_domain_that_is_named_is_the_only_one(learner: Learner) -> None:
    own = learner.recognise(images("warm")[:5] + images("cold")[:5], "warm")
    other = own[5:]
    assert all(one.domain is None and one.nearest == "warm" for one in other)
    assert sum(one.domain == "warm" for one in own[:5]) >= 4
    assert all(one.looks == {} for one in own)
    with pytest.raises(UnknownNameError, match="Unknown domain 'hot'"):
        learner.recognise(images("warm"), "hot")


def test_the_answer_is_that_of_predict(learner: Learner) -> None:
    for kind in ("warm", "cold"):
        given = images(kind)
        expected = learner.predict(given, kind)
        for found in (learner.recognise(given, accept=None), learner.recognise(given, kind)):
            assert [one.top for one in found] == [one.top for one in expected]


def test_more_is_accepted_as_asked(learner: Learner) -> None:
    given = [draw("warm", label, seed) for label in LAST for seed in range(200, 260)]
    shares = [
        np.mean([one.domain == "warm" for one in learner.recognise(given, "warm", accept=accept)])
        for accept in (0.5, 0.95, 0.999)
    ]
    assert shares[0] < shares[1] < shares[2]
    for wrong in (0, 0.2, 1, 1.5, float("nan")):
        with pytest.raises(OptionError, match="`accept` is"):
            learner.recognise(given, accept=wrong)
    with pytest.raises(OptionError, match="top 0"):
        learner.recognise(given, top=0)


def test_one_look_and_one_answer(learner: Learner, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, seen = learner.engine, list[int]()
    look = engine.features

    def noted(images: Images) -> Features:
        seen.append(len(images))
        return look(images)

    monkeypatch.setattr(engine, "features", noted)
    learner.recognise(images("warm"))
    # Looks at the first image alone, then eight at once and the rest; and as many answers.
    assert seen == [1, 1, 7, 7, 2, 2]
    seen.clear()
    learner.recognise(images("warm"), "warm")
    assert seen == [1, 7, 2]  # one domain needs no look


def test_each_file_is_read_once(learner: Learner, monkeypatch: pytest.MonkeyPatch) -> None:
    reads, signature = list[str](), DomainFile.signature

    def noted(file: DomainFile) -> Signature | None:
        reads.append(file.path.stem)
        return signature(file)

    monkeypatch.setattr(DomainFile, "signature", noted)
    learner.recognise(images("warm"))
    learner.recognise(images("cold"))
    assert sorted(reads) == ["cold", "grey", "warm"]
    info, tensors = learner.store.read("cold")
    try:
        learner.store.save("cold", replace(info, seed=3), tensors)
        learner.recognise(images("cold"))
        assert sorted(reads) == ["cold", "cold", "grey", "warm"]
    finally:
        learner.store.save("cold", info, tensors)


def test_images_of_an_iterator_are_answered_one_by_one(learner: Learner) -> None:
    asked = list[int]()

    def camera() -> Iterator[npt.NDArray[np.uint8]]:
        for number, image in enumerate(images("warm")):
            asked.append(number)
            yield image

    for number, _ in enumerate(learner.recognise_each(camera())):
        assert asked == list(range(number + 1))


def test_what_cannot_be_read_is_told(learner: Learner, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    Image.fromarray(images("warm")[0]).save(tmp_path / "good.png")
    given = [tmp_path / "good.png", tmp_path / "bad.png", tmp_path / "good.png"]
    with pytest.raises(DataError, match="bad.png"):
        learner.recognise(given)
    told = list[str]()
    found = learner.recognise(given, on_unreadable=told.append)
    assert [one.image for one in found] == [tmp_path / "good.png"] * 2
    assert len(told) == 1 and "bad.png" in told[0]
    assert learner.recognise([]) == []


@pytest.fixture
def copied(stored: Path, tmp_path: Path) -> Callable[..., Learner]:
    """Return a function that copies the store, with changes of a domain's description."""

    def copy(*, without: str = "", **changes: Any) -> Learner:
        learner, store = (
            Learner(FakeEngine(), tmp_path / "copy"),
            Learner(FakeEngine(), stored).store,
        )
        for name in store.names():
            info, tensors = store.read(name)
            if name == without:
                info = replace(info, **changes)
            learner.store.save(name, info, tensors)
        return learner

    return copy


def test_a_file_without_a_signature_takes_part_by_name(
    copied: Callable[..., Learner], stored: Path
) -> None:
    learner = copied(without="cold", signature={}, schema=9)
    told = list[str]()
    found = learner.recognise(images("warm"), on_left_out=told.append)
    assert len(told) == 1 and "'cold'" in told[0] and "addapt index cold" in told[0]
    assert all("cold" not in one.looks for one in found)
    (one,) = learner.recognise(images("foreign")[0], "cold")
    assert one.domain == "cold" and one.distance is None and one.limit is None

    report = learner.index("cold", stored.parent / "cold")
    assert report.images == learner.store.info("cold").val_images  # the same ones
    told.clear()
    again = learner.recognise(images("cold", "foreign"), on_left_out=told.append)
    assert told == []
    expected = Learner(FakeEngine(), stored).recognise(images("cold", "foreign"))
    assert [(one.domain, one.label) for one in again] == [
        (one.domain, one.label) for one in expected
    ]
    assert learner.store.info("cold").schema == SCHEMA


def test_index_refuses_what_is_not_the_domain_s(
    copied: Callable[..., Learner], stored: Path, tmp_path: Path
) -> None:
    learner = copied(without="cold", signature={})
    before = learner.store.path("cold").read_bytes()
    more = write(tmp_path / "more", "cold", 5)
    (more / "third").mkdir()
    for seed in range(50, 54):
        Image.fromarray(draw("cold", "dark", seed)).save(more / "third" / f"{seed}.png")
    with pytest.raises(DataError, match="class 'third', which the domain 'cold' has not learned"):
        learner.index("cold", more)
    with pytest.raises(DataError):
        learner.index("cold", tmp_path / "nothing")
    with pytest.raises(UnknownNameError):
        learner.index("lukewarm", more)
    assert learner.store.path("cold").read_bytes() == before


def test_other_backbones_and_damaged_files_are_left_out(copied: Callable[..., Learner]) -> None:
    learner = copied(without="cold", weights_sha256="0" * 64)
    learner.store.path("grey").write_bytes(b"damaged")
    told = list[str]()
    found = learner.recognise(images("warm"), on_left_out=told.append)
    assert len(told) == 2
    assert "was learned on fake" in told[0] and "is not a domain" in told[1]
    assert {one.nearest for one in found} == {"warm"}
    info, tensors = learner.store.read("cold")
    learner.store.save("cold", replace(info, backbone="other"), tensors)
    told.clear()
    learner.recognise(images("warm"), on_left_out=told.append)
    assert "'cold' was learned on other, not on fake, and is only asked by its name" in told[0]


def test_a_domain_whose_damage_is_found_when_it_is_asked(copied: Callable[..., Learner]) -> None:
    learner = copied()
    path = learner.store.path("cold")
    content = bytearray(path.read_bytes())
    place = content.index(learner.store.read("cold")[1]["head.weight"].tobytes())
    content[place] ^= 1
    path.write_bytes(content)
    assert {one.nearest for one in learner.recognise(images("warm"))} == {"warm"}
    with pytest.raises(DamagedError, match=r"cold\S* is damaged.*check` with `repair`"):
        learner.recognise(images("cold"))
    with pytest.raises(DamagedError) as named:
        learner.recognise(images("cold"), "cold")
    assert "repair" not in str(named.value)


def test_of_two_hundred_domains_few_are_asked(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One look and one product with all planes, however many domains there are."""
    engine, looks, products = FakeEngine(), list[int](), list[tuple[int, ...]]()
    features, distances = FakeEngine.features, Planes.distances

    def noted(self: FakeEngine, given: Images) -> Features:
        looks.append(len(given))
        return features(self, given)

    def multiplied(self: Planes, given: Features) -> npt.NDArray[np.float64]:
        found = distances(self, given)
        products.append(found.shape)
        return found

    learner, kinds = Learner(engine, tmp_path / "many"), ("warm", "cold", "grey")
    learner.store.folder.mkdir()
    for number in range(200):
        kind = kinds[number % 3]
        shutil.copy(Store(stored).path(kind), learner.store.path(f"{kind}-{number}"))
    monkeypatch.setattr(FakeEngine, "features", noted)
    monkeypatch.setattr(Planes, "distances", multiplied)
    (found,) = learner.recognise(images("cold")[0])
    assert found.nearest.startswith("cold-") and len(found.looks) == 200
    assert engine.loaded == len(found.distances) == MOST_ASKED
    # One look, then the features of each answer, which are compared with its domain's own plane.
    assert looks == [1, *[1] * MOST_ASKED]
    assert products == [(1, 200), *[(1, 1)] * MOST_ASKED]


def test_a_store_of_one_domain(copied: Callable[..., Learner]) -> None:
    learner = copied()
    learner.store.remove("cold")
    learner.store.remove("grey")
    (own, foreign) = learner.recognise([images("warm")[0], images("foreign")[0]], accept=0.99)
    assert own.domain == "warm" and foreign.domain is None
    info, tensors = learner.store.read("warm")
    learner.store.save("warm", replace(info, signature={}), tensors)
    (one,) = learner.recognise(images("foreign")[0])  # nothing to choose, and nothing to refuse by
    assert one.domain == "warm"


def test_nothing_to_choose(copied: Callable[..., Learner], tmp_path: Path) -> None:
    with pytest.raises(DomainError, match="There is no domain in .*empty yet"):
        Learner(FakeEngine(), tmp_path / "empty").recognise(images("warm"))
    learner = copied()
    for name in learner.store.names():
        info, tensors = learner.store.read(name)
        learner.store.save(name, replace(info, signature={}), tensors)
    with pytest.raises(DomainError, match="No domain can be chosen .*'cold' has no signature"):
        learner.recognise(images("warm"))


def test_watching_finds_the_domain_of_each_frame_or_none(learner: Learner) -> None:
    kinds = ("warm", "warm", "foreign", "cold")
    frames = [draw(kind, "bright", 100 + number) for number, kind in enumerate(kinds)]
    each = Watching(smooth_s=0, above=0.4)
    found = list(learner.watch(iter(frames), watching=each))
    assert [answer.domain for answer in found] == ["warm", "warm", None, "cold"]
    assert [answer.label for answer in found] == ["bright", "bright", None, "bright"]
    assert [answer.refused for answer in found] == [False, False, True, False]
    named = list(learner.watch(iter(frames), "cold", watching=each))
    assert [answer.refused for answer in named] == [True, True, True, False]
    everything = list(learner.watch(iter(frames), "cold", accept=None, watching=each))
    assert {answer.domain for answer in everything} == {"cold"}
    assert not any(answer.refused for answer in everything)
    with pytest.raises(OptionError, match="`accept` is"):
        learner.watch(iter(frames), accept=2)
    with pytest.raises(UnknownNameError, match="Unknown domain 'hot'"):
        learner.watch(iter(frames), "hot")


def test_watching_tells_what_is_left_out(copied: Callable[..., Learner]) -> None:
    learner, told = copied(without="cold", signature={}), list[str]()
    bad = np.zeros((2, 2, 3))  # no bytes
    frames: list[Any] = [draw("warm", "dark", 100), bad, draw("cold", "dark", 100)]
    each = Watching(smooth_s=0)
    found = list(learner.watch(iter(frames), watching=each, on_notice=told.append))
    assert [answer.frame for answer in found] == [0, 2] and found[1].refused
    assert "'cold' has no signature" in told[0] and "Image number 1" in told[1]


def test_a_domain_that_is_changed_meanwhile(copied: Callable[..., Learner]) -> None:
    learner = copied()
    answers = learner.recognise_each(iter(images("warm", "cold")))
    assert next(answers).nearest == "warm"
    info, tensors = learner.store.read("cold")
    learner.store.save("cold", replace(info, seed=7), tensors)
    with pytest.raises(DomainError, match="'cold' was changed while"):
        list(answers)


def test_evaluation_tells_acceptance_and_calibration(learner: Learner, tmp_path: Path) -> None:
    own = learner.evaluate("warm", write(tmp_path / "own", "warm"))
    assert own.accepted is not None and own.accepted > 0.8
    assert 0 <= own.calibration_error < 0.3
    foreign = learner.evaluate("warm", write(tmp_path / "foreign", "foreign", 5))
    assert foreign.accepted == 0


def test_a_file_says_how_probabilities_were_calibrated(learner: Learner) -> None:
    info = learner.store.info("warm")
    assert 0.2 <= info.val_report["temperature"] <= 5
    assert 0 <= info.val_report["calibration_error"] < 0.5
    assert info.signature["look_px"] == 64 and info.signature["spread"]["images"] == info.val_images


def test_a_signature_takes_one_network_at_a_time_and_no_image_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, done = write(tmp_path / "images", "warm", 10), list[tuple[str, int]]()

    def note(owner: Any, name: str) -> None:
        method = getattr(owner, name)

        def noted(self: Any, *given: Any) -> Any:
            done.append((name, sum(len(images) for images in given)))
            return method(self, *given)

        monkeypatch.setattr(owner, name, noted)

    note(FakeEngine, "release")
    note(FakeModel, "answers")
    looks = signing.shared_look

    def shared_look(engine: Engine, images: Images) -> Features:
        done.append(("look", len(images)))
        return looks(engine, images)

    monkeypatch.setattr(signing, "shared_look", shared_look)
    Learner(FakeEngine(), tmp_path / "store").learn("warm", folder, **QUICK)
    counts = [
        (name, sum(count for _, count in group))
        for name, group in groupby(done, key=lambda one: one[0])
    ]
    # Those held out, then both planes of the others.
    expected = [("answers", 8), ("release", 0), ("look", 12), ("release", 0), ("answers", 12)]
    assert counts[counts.index(expected[0]) :] == expected


def test_what_comes_after_learning_can_be_stopped(tmp_path: Path) -> None:
    folder = write(tmp_path / "images", "warm", 8)
    engine, whole = FakeEngine(), Learner(FakeEngine(), tmp_path / "whole")
    learner = Learner(engine, tmp_path / "store")
    with pytest.raises(LearningStopped):
        # A model that recognises is made when all steps are done.
        stopping = Controls(should_stop=lambda: engine.loaded > 0)
        learner.learn("warm", folder, controls=stopping, **QUICK)
    assert not learner.store.exists("warm")
    for one in (learner, whole):
        one.learn("warm", folder, **QUICK)
    (info, tensors), (expected, arrays) = (one.store.read("warm") for one in (learner, whole))
    assert info.signature == expected.signature
    assert all(np.array_equal(tensors[name], arrays[name]) for name in arrays)
