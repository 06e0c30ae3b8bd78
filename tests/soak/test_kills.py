"""The soak in small: ten kills of a process that learns, a reader beside it, the same bytes."""

import os
from pathlib import Path

import pytest

from addapt._errors import AddaptError
from addapt.domains import Store
from addapt.learning import Controls, Learner
from tests.conftest import build_tiny_backbone
from tests.forks import Fork
from tests.soak.kills import AGAIN, EARLIER, KillTest
from tests.soak.lessons import EPOCH_S, make_images
from tests.soak.readers import Watched, domain_digest, read_readings, reader

KILLS = 10
WHOLE_S = 0.3  # about as long as a run takes

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system copies no process")


class Lessons:
    """Learns in copies of this process, which has everything loaded: ten kills take seconds.

    They are killed as really as any other process is; only its start is cheaper than that of the
    command line, which `scripts/soak` kills.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.backbone = build_tiny_backbone()
        self.images = make_images(folder / "images", images=4, px=32)

    def learn(self, store: str, name: str, *, restart: bool = False, seed: int = 0) -> None:
        Learner(self.backbone, self.folder / store).learn(
            name,
            self.images,
            method="bias",
            epochs=8,
            batch=4,
            image_px=32,
            seed=seed,
            restart=restart,
            controls=Controls(save_every_s=0.02),
        )

    def start(self, name: str, restart: bool) -> Fork:
        return Fork(lambda: self.learn("killed", name, restart=restart))


@pytest.fixture
def lessons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lessons:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", EPOCH_S)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # processes die, not the disk
    return Lessons(tmp_path)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_ten_kills_lose_nothing(lessons: Lessons, tmp_path: Path) -> None:
    lessons.learn("whole", "a")
    for seed, name in enumerate((AGAIN, EARLIER), start=1):
        lessons.learn("killed", name, seed=seed)
    store, whole = Store(tmp_path / "killed"), Store(tmp_path / "whole")
    known = {
        EARLIER: [domain_digest(store, EARLIER)],
        AGAIN: [domain_digest(store, AGAIN), domain_digest(whole, "a")],
    }
    test = KillTest(store, lessons.start, whole.path("a").read_bytes(), WHOLE_S, seed=0)
    with reader({"killed": Watched(store, known)}, tmp_path / "readings.json", fork=True):
        for tally in test.run(KILLS):
            assert tally.troubles == []
    assert (test.tally.kills, test.tally.troubles) == (KILLS, [])
    assert test.tally.runs >= 2
    assert test.tally.starts > test.tally.runs
    readings = read_readings(tmp_path / "readings.json")["killed"]
    assert readings.reads > 0
    assert (readings.unreadable, readings.strange) == (0, 0)


def test_the_test_itself_sees_what_is_lost(lessons: Lessons, tmp_path: Path) -> None:
    """A learner that damages, forgets and fails must not pass."""
    for seed, name in enumerate((AGAIN, EARLIER), start=1):
        lessons.learn("killed", name, seed=seed)
    store = Store(tmp_path / "killed")

    def harm() -> None:
        path = store.path(EARLIER)
        path.write_bytes(path.read_bytes()[:-1])
        store.path(AGAIN).unlink()
        raise SystemExit(3)

    test = KillTest(store, lambda name, restart: Fork(harm), b"expected", 5.0, seed=0)
    for _ in test.run(1):
        pass
    kinds = {trouble.partition(":")[0] for trouble in test.tally.troubles}
    assert {"lost", "unreadable", "different", "crashes"} <= kinds
    with pytest.raises(AddaptError):
        domain_digest(store, EARLIER)
