"""Learning on a disk that fails at any call, or in a process that is killed at any call."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

import pytest

from addapt._errors import AddaptError
from addapt.learning import Controls, Learner
from addapt.learning.checkpoint import is_unfinished
from addapt.learning.controls import CACHE_BYTES
from tests.conftest import MakeFolder
from tests.fake_engine import FakeEngine
from tests.faults import ERRORS, dead_at, failing, watched
from tests.forks import Fork

Contents = dict[str, bytes]


def contents(folder: Path) -> Contents:
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


class Scene:
    """A store with two domains, of which "a" is learned anew."""

    def __init__(self, folder: Path, images: Path, controls: Controls) -> None:
        self.folder, self.images, self.controls = folder, images, controls
        self.engine = FakeEngine()
        for name in ("a", "b"):
            self.learn("template", seed=1, name=name)
        self.before = contents(folder / "template")
        store = self.new("whole")
        with watched(store, lambda call, number: None) as self.calls:
            self.learn("whole")
        self.after = contents(store)
        assert self.after["a.safetensors"] != self.before["a.safetensors"]

    def new(self, name: str) -> Path:
        store = self.folder / name
        for path, content in self.before.items():
            (store / path).parent.mkdir(parents=True, exist_ok=True)
            (store / path).write_bytes(content)
        return store

    def learn(self, store: str, *, seed: int = 0, name: str = "a") -> None:
        """Do what a user does: `restart` only where there is nothing to go on with."""
        learner = Learner(self.engine, self.folder / store)
        unfinished = is_unfinished(learner.store.state_path(name))
        learner.learn(
            name,
            self.images,
            method="head",
            epochs=1,
            batch=4,
            image_px=32,
            seed=seed,
            restart=learner.store.exists(name) and not unfinished,
            controls=self.controls,
        )

    def each_call(self) -> Iterator[tuple[str, int]]:
        for call, count in self.calls.items():
            for number in range(1, count + 1):
                yield call, number


@pytest.fixture(params=[CACHE_BYTES, 0], ids=["in memory", "in a file"])
def scene(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    make_folder: MakeFolder,
    monkeypatch: pytest.MonkeyPatch,
) -> Scene:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # no real power is cut
    folder = make_folder(classes=("dark", "light"), images=2, px=32)
    return Scene(tmp_path, folder, Controls(cache_bytes=request.param))


def attempt(work: Callable[[], None]) -> str | None:
    """Return the sentence that says what is wrong; any other error is a crash."""
    try:
        work()
    except AddaptError as error:
        return str(error)
    return None


def test_one_call_fails_and_learning_says_so(scene: Scene) -> None:
    errors = cycle(ERRORS)
    for (call, number), code in zip(scene.each_call(), errors, strict=False):
        name = f"{call} {number}"
        store = scene.new(name)
        with failing(store, call, number, code):
            error = attempt(lambda name=name: scene.learn(name))  # type: ignore[misc]
        found = contents(store)
        assert not [path for path in found if path.endswith(".tmp")]
        assert found["b.safetensors"] == scene.before["b.safetensors"]
        if error is None:
            assert found["a.safetensors"] == scene.after["a.safetensors"]
        else:
            assert str(store) in error
            assert re.search(r" because .+: .+\.$", error), error
            assert found["a.safetensors"] == scene.before["a.safetensors"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot copy a process")
def test_killed_at_any_call_learning_goes_on_to_the_same_bytes(scene: Scene) -> None:
    for number in range(1, scene.calls.total() + 1):
        name = f"killed {number}"
        store = scene.new(name)

        def work(store: Path = store, name: str = name, number: int = number) -> None:
            with dead_at(store, number):
                scene.learn(name)

        assert Fork(work).wait() == -signal.SIGKILL
        found = contents(store)
        assert found["a.safetensors"] in (
            scene.before["a.safetensors"],
            scene.after["a.safetensors"],
        )
        scene.learn(name)
        assert contents(store).keys() == scene.after.keys()
        for path in ("a.safetensors", "b.safetensors"):
            assert contents(store)[path] == scene.after[path]
