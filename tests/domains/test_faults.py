"""Whatever call the disk refuses, and whenever the power goes: no domain is lost or half written.

Everything that is done to a store is disturbed at each of its calls in turn.
"""

import errno
import itertools
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from addapt._errors import AddaptError
from addapt.domains import Store
from addapt.domains.lock import writing
from addapt.learning.checkpoint import load_run, save_run
from addapt.learning.state import TrainingState
from tests.domains.domain_cases import INFO, contents, tensors
from tests.faults import CALLS, ERRORS, failing, failing_from, watched

Contents = dict[str, bytes]
Act = Callable[[Path], None]

FINGERPRINT = {"seed": 0}


def fill(folder: Path) -> Store:
    store = Store(folder)
    for name in ("a", "b"):
        store.save(name, INFO, tensors())
        store.history_path(name).write_text(f"history of {name}")
        save_run(store.state_path(name), unfinished(1), FINGERPRINT)
    return store


def unfinished(step: int) -> TrainingState:
    weight, moment = np.full((2, 3), float(step)), np.ones((2, 3))
    return TrainingState(step=step, domain={"w": weight}, optimiser={"w.exp_avg": moment})


def save(folder: Path) -> None:
    Store(folder).save("a", INFO, {"w": np.ones(3)})


def save_unfinished(folder: Path) -> None:
    with writing(folder, "a"):
        save_run(Store(folder).state_path("a"), unfinished(2), FINGERPRINT)


def remove(folder: Path) -> None:
    Store(folder).remove("a")


def rename(folder: Path) -> None:
    Store(folder).rename("a", "c")


ACTS = [save, save_unfinished, remove, rename]


def domain_files(files: Contents) -> Contents:
    return {name: files[name] for name in files if re.fullmatch(r"\w+\.safetensors", name)}


def temporary_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.suffix == ".tmp"]


def attempt(act: Act, folder: Path) -> AddaptError | None:
    """Return the error that says what is wrong, if there is one; any other one is a crash."""
    try:
        act(folder)
    except AddaptError as error:
        return error
    return None


def assert_says_what_to_do(error: AddaptError, folder: Path, number: int) -> None:
    text = str(error)
    assert str(folder) in text
    assert re.search(r" because .+: .+\.$", text), text
    if number == errno.ENOSPC:
        assert "free some space" in text
    if number in (errno.EROFS, errno.EACCES):
        assert "choose another folder" in text


def assert_readable(folder: Path) -> None:
    store = Store(folder)
    for name in store.names():
        store.read(name)
        if store.state_path(name).exists():
            load_run(store.state_path(name), FINGERPRINT)


class Scenes:
    """Copies of one store, and what becomes of them when nothing fails."""

    def __init__(self, act: Act, folder: Path) -> None:
        self.act, self.folder, self.number = act, folder, itertools.count()
        fill(folder / "template")
        self.before = contents(folder / "template")
        shutil.copytree(folder / "template", folder / "whole")
        with watched(folder, lambda call, number: None) as self.calls:
            act(folder / "whole")
        self.after = contents(folder / "whole")
        assert self.before != self.after

    def new(self) -> Path:
        return shutil.copytree(self.folder / "template", self.folder / str(next(self.number)))


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing wait for a real disk: here no real power is cut."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(params=ACTS, ids=lambda act: act.__name__)
def scenes(request: pytest.FixtureRequest, tmp_path: Path) -> Scenes:
    return Scenes(request.param, tmp_path)


def test_every_kind_of_call_is_met(tmp_path: Path) -> None:
    met: Counter[str] = Counter()
    for act in ACTS:
        met += Scenes(act, tmp_path / act.__name__).calls
    with watched(tmp_path, lambda call, number: None) as calls:
        save(tmp_path / "new store")
    assert set(met + calls) == set(CALLS)


def test_one_call_fails(scenes: Scenes) -> None:
    codes = itertools.cycle(ERRORS)
    for call in scenes.calls:
        for number in range(1, scenes.calls[call] + 1):
            folder, code = scenes.new(), next(codes)
            with failing(folder, call, number, code):
                error = attempt(scenes.act, folder)
            if error is not None:
                assert_says_what_to_do(error, folder, code)
                found = contents(folder)
                assert domain_files(found) == domain_files(scenes.before)
                assert found == scenes.before or scenes.act is remove
                assert_readable(folder)
                scenes.act(folder)  # the disk is well again
            assert contents(folder) == scenes.after


def test_a_new_store_on_a_failing_disk(tmp_path: Path) -> None:
    with watched(tmp_path, lambda call, number: None) as calls:
        save(tmp_path / "whole")
    assert calls["mkdir"] >= 2
    every = [(call, n + 1) for call in calls for n in range(calls[call])]
    for (call, number), code in itertools.product(every, ERRORS):
        folder = tmp_path / f"{call} {number} {code}"
        with failing(tmp_path, call, number, code):
            error = attempt(save, folder)
        if error is not None:
            assert_says_what_to_do(error, folder, code)
            assert contents(folder) == {}
            assert Store(folder).names() == ()
            save(folder)
        assert contents(folder) == contents(tmp_path / "whole")


def assert_nothing_is_lost(scenes: Scenes, folder: Path) -> None:
    """Check a store in which an act broke off, and that it goes on working."""
    assert_readable(folder)
    found = domain_files(contents(folder))
    before, after = domain_files(scenes.before), domain_files(scenes.after)
    assert found in (before, after)
    attempt(scenes.act, folder)  # may be over already
    save(folder)
    if scenes.act is rename:
        Store(folder).save("c", INFO, tensors())
    assert temporary_files(folder) == []
    assert_readable(folder)
    assert contents(folder)["b.safetensors"] == scenes.before["b.safetensors"]


def test_all_calls_fail_from_one_on(scenes: Scenes) -> None:
    codes = itertools.cycle((errno.EIO, errno.EROFS))
    for number in range(1, scenes.calls.total() + 1):
        folder, code = scenes.new(), next(codes)
        with failing_from(folder, number, code):
            error = attempt(scenes.act, folder)
        if error is not None:
            assert_says_what_to_do(error, folder, code)
        assert_nothing_is_lost(scenes, folder)


def test_a_reader_need_not_wait_for_a_writer(scenes: Scenes) -> None:
    """At each call of a writer, which has its lock and goes no further, all can be read."""
    folder, seen = scenes.new(), set()
    known = [domain_files(scenes.before), domain_files(scenes.after)]

    def read(call: str, number: int) -> None:
        assert_readable(folder)
        found = domain_files(contents(folder))
        assert found in known
        seen.add(known.index(found))

    with watched(folder, read) as calls:
        scenes.act(folder)
    assert calls == scenes.calls
    assert 0 in seen


def test_power_cut_at_every_call(scenes: Scenes) -> None:
    """What is on the disk at a call is all that there is afterwards."""
    folder = scenes.new()
    cuts: list[Path] = []

    def cut(call: str, number: int) -> None:
        cuts.append(shutil.copytree(folder, scenes.folder / f"cut {len(cuts)}"))

    with watched(folder, cut):
        scenes.act(folder)
    assert len(cuts) == scenes.calls.total()
    for left in cuts:
        assert_nothing_is_lost(scenes, left)
