"""Learning that is killed, at whatever step, goes on and ends with the same bytes."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from addapt import Learner
from addapt._errors import DomainError, TrainingError
from addapt.domains import writing
from addapt.engines.torch.backbones import Backbone
from addapt.learning import LearningStopped, Progress, run_file
from tests.conftest import MakeFolder
from tests.forks import Fork

QUICK: dict[str, Any] = {"epochs": 2, "batch": 8, "image_px": 32, "save_every_s": 1e-9}
STEPS = 6


class Killed:
    """Learns in another process, which dies as soon as so many steps are done."""

    def __init__(self, learner: Learner, folder: Path, method: str) -> None:
        self.learner, self.folder, self.method = learner, folder, method

    def learn(self, **options: Any) -> list[int]:
        """Learn in this process; return the steps that were made."""
        steps: list[int] = []

        def note(progress: Progress) -> None:
            if progress.phase == "learning":
                steps.append(progress.done)

        options = {"on_progress": note, "method": self.method, **QUICK, **options}
        self.learner.learn("x", self.folder, **options)
        return steps

    def learn_until(self, step: int) -> None:
        def die(progress: Progress) -> None:
            if progress.phase == "learning" and progress.done == step:
                os.kill(os.getpid(), signal.SIGKILL)

        assert Fork(lambda: self.learn(on_progress=die)).wait() == -signal.SIGKILL


@pytest.fixture(autouse=True)
def same_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


@pytest.mark.parametrize("method", ["da3", "finetune"])
def test_killed_at_every_step(
    tiny_backbone: Backbone, make_folder: MakeFolder, tmp_path: Path, method: str
) -> None:
    folder = make_folder()
    whole = Killed(Learner(tiny_backbone, tmp_path / "whole"), folder, method)
    assert whole.learn() == list(range(1, STEPS + 1))
    parts = Killed(Learner(tiny_backbone, tmp_path / "parts"), folder, method)
    for step in range(1, STEPS + 1):
        parts.learn_until(step)
        assert not parts.learner.store.exists("x")
    assert parts.learn() == [STEPS]  # the one before was saved
    files = [killed.learner.store.path("x").read_bytes() for killed in (whole, parts)]
    assert files[0] == files[1]
    assert not parts.learner.store.state_path("x").exists()


def test_killed_when_the_domain_is_there_and_the_state_still_is(
    tiny_backbone: Backbone,
    make_folder: MakeFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learning = Killed(Learner(tiny_backbone, tmp_path / "s"), make_folder(), "head")
    store = learning.learner.store
    with monkeypatch.context() as patch:
        patch.setattr("addapt.learning.run.remove_run", lambda folder: None)
        learning.learn()
    before = store.path("x").read_bytes()
    with pytest.raises(TrainingError, match="seed was 0 and now is 1"):
        learning.learn(seed=1)
    assert learning.learn() == []  # all steps are done
    assert store.path("x").read_bytes() == before
    with pytest.raises(DomainError, match="already"):
        learning.learn()


def test_what_is_left_of_a_removed_run_is_none(
    tiny_backbone: Backbone, make_folder: MakeFolder, tmp_path: Path
) -> None:
    learning = Killed(Learner(tiny_backbone, tmp_path / "s"), make_folder(), "head")
    learning.learn()
    state = learning.learner.store.state_path("x")
    state.mkdir(parents=True)
    (state / f".{run_file.STATE_FILE}.0123abcd.tmp").write_bytes(b"half")
    with pytest.raises(DomainError, match="already"):  # the domain is not overwritten
        learning.learn()
    learning.learn(restart=True)
    assert not state.exists()


def test_one_at_a_time(tiny_backbone: Backbone, make_folder: MakeFolder, tmp_path: Path) -> None:
    learning = Killed(Learner(tiny_backbone, tmp_path / "s"), make_folder(), "head")
    told: list[str] = []

    def learn_too() -> None:
        with pytest.raises(DomainError, match="being learned or written by another program"):
            learning.learn(seed=1)

    def start_another(progress: Progress) -> None:
        if not told:
            told.append(progress.phase)
            assert Fork(learn_too).wait() == 0

    learning.learn(on_progress=start_another)
    assert told == ["reading images"]  # the lock is held from then on
    with writing(learning.learner.store.folder, "x"):
        pass


def test_other_threads_are_refused(
    tiny_backbone: Backbone, make_folder: MakeFolder, tmp_path: Path
) -> None:
    learning = Killed(Learner(tiny_backbone, tmp_path / "s"), make_folder(), "head")
    with pytest.raises(LearningStopped):
        learning.learn(should_stop=lambda: True)
    torch.set_num_threads(2)
    try:
        with pytest.raises(TrainingError, match=r"threads was 1 and now is 2\. Give --threads 1"):
            learning.learn()
    finally:
        torch.set_num_threads(1)
    assert learning.learn()[0] == 2


def test_state_that_was_spoilt_before_the_loss_shows_it(
    tiny_backbone: Backbone, make_folder: MakeFolder, tmp_path: Path
) -> None:
    learning = Killed(Learner(tiny_backbone, tmp_path / "s"), make_folder(), "head")
    with pytest.raises(TrainingError, match="The last good state is kept"):
        learning.learn(lr=1e38)
    state = learning.learner.store.state_path("x")
    left = run_file.load_run(state, {})
    assert left is not None
    assert left.is_finite()
