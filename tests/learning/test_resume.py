"""Learning that is killed, at whatever step, goes on and ends with the same bytes."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from addapt import Learner
from addapt._errors import DomainError, TrainingError
from addapt.domains import writing
from addapt.engines import open_engine
from addapt.learning import Controls, LearningStopped, OnProgress, Progress, unfinished_threads
from addapt.learning.checkpoint import STATE_FILE, load_run
from addapt.methods import DA3, Method
from tests.conftest import MakeFolder, build_tiny_backbone
from tests.fake_engine import FakeEngine
from tests.forks import Fork

LATE = DA3(first_block=14)  # beside the last two blocks, which takes less time


class Killed:
    """Learns "x", in this process or in another one, which dies when so many steps are done."""

    def __init__(
        self, backbone: Any, store: Path, folder: Path, method: Method | str = "head"
    ) -> None:
        self.learner, self.folder, self.method = Learner(backbone, store), folder, method
        self.learner.engine.threads = 1  # a copy of a process has no others
        self.state_path = self.learner.store.state_path("x")

    def learn(
        self, on_progress: OnProgress | None = None, *, stop: bool = False, **options: Any
    ) -> list[int]:
        """Learn in this process; return the steps that were made."""
        steps: list[int] = []

        def note(progress: Progress) -> None:
            if progress.phase == "learning":
                steps.append(progress.done)

        controls = Controls(on_progress or note, should_stop=lambda: stop, save_every_s=1e-9)
        asked: Any = {"method": self.method, "epochs": 2, "batch": 8, "image_px": 32, **options}
        self.learner.learn("x", self.folder, controls=controls, **asked)
        return steps

    def learn_until(self, step: int) -> None:
        def die(progress: Progress) -> None:
            if progress.phase == "learning" and progress.done == step:
                os.kill(os.getpid(), signal.SIGKILL)

        assert Fork(lambda: self.learn(die)).wait() == -signal.SIGKILL


@pytest.fixture(autouse=True)
def _same_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


@pytest.fixture
def learning(make_folder: MakeFolder, tmp_path: Path) -> Killed:
    return Killed(FakeEngine(), tmp_path / "s", make_folder())


@pytest.mark.parametrize(
    ("engine", "method"),
    [("torch", "da3"), ("torch", "finetune"), ("onnx", LATE)],
)
def test_killed_at_every_step(
    engine: str, make_folder: MakeFolder, tmp_path: Path, method: Method | str
) -> None:
    folder = make_folder()
    backbone = build_tiny_backbone() if engine == "torch" else open_engine(engine="onnx")
    whole, parts = (
        Killed(backbone, tmp_path / name, folder, method) for name in ("whole", "parts")
    )
    steps = whole.learn()
    assert steps == list(range(1, len(steps) + 1))
    for step in steps:
        parts.learn_until(step)
        assert not parts.learner.store.exists("x")
    assert parts.learn() == steps[-1:]  # the one before was saved
    files = [killed.learner.store.path("x").read_bytes() for killed in (whole, parts)]
    assert files[0] == files[1]
    assert parts.learner.store.info("x").date == "2023-11-14T22:13:20+00:00"
    assert not parts.state_path.exists()


def test_killed_when_the_domain_is_there_and_the_state_still_is(
    learning: Killed, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_what_is_left_of_a_removed_run_is_none(learning: Killed) -> None:
    learning.learn()
    learning.state_path.mkdir(parents=True)
    (learning.state_path / f".{STATE_FILE}.0123abcd.tmp").write_bytes(b"half")
    with pytest.raises(DomainError, match="already"):  # the domain is not overwritten
        learning.learn()
    learning.learn(restart=True)
    assert not learning.state_path.exists()


def test_one_at_a_time(learning: Killed) -> None:
    told: list[str] = []

    def learn_too() -> None:
        with pytest.raises(DomainError, match="being learned or written by another program"):
            learning.learn(seed=1)

    def start_another(progress: Progress) -> None:
        if not told:
            told.append(progress.phase)
            assert Fork(learn_too).wait() == 0

    learning.learn(start_another)
    assert told == ["reading images"]  # the lock is held from then on
    with writing(learning.learner.store.folder, "x"):
        pass


def test_other_threads_are_refused(learning: Killed) -> None:
    with pytest.raises(LearningStopped):
        learning.learn(stop=True)
    assert unfinished_threads(learning.state_path) == 1
    learning.learner.engine.threads = 2
    with pytest.raises(TrainingError, match=r"threads was 1 and now is 2\. Give `threads=1`"):
        learning.learn()
    learning.learner.engine.threads = 1
    assert learning.learn()[0] == 2


def test_another_engine_is_refused(learning: Killed, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LearningStopped):
        learning.learn(stop=True)
    with monkeypatch.context() as patch:
        patch.setattr(FakeEngine, "name", "false")
        message = r"engine was fake and now is false\. Give `engine='fake'` to go on"
        with pytest.raises(TrainingError, match=message):
            learning.learn()
    assert learning.learn()[0] == 2


@pytest.mark.parametrize("engine", ["torch", "onnx"])
def test_state_that_was_spoilt_before_the_loss_shows_it(
    engine: str, make_folder: MakeFolder, tmp_path: Path
) -> None:
    backbone = build_tiny_backbone() if engine == "torch" else open_engine(engine="onnx")
    learning = Killed(backbone, tmp_path / "s", make_folder(), LATE if engine == "onnx" else "head")
    with pytest.raises(TrainingError, match="The last good state is kept"):
        learning.learn(lr=1e38)
    left = load_run(learning.state_path, {})
    assert left is not None
    assert left.is_finite()
