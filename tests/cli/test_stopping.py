"""Ctrl-C and SIGTERM: the state is saved, the exit code tells, and it never takes long."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from addapt.cli import stopping
from addapt.cli.main import app
from addapt.cli.output import command
from addapt.cli.stopping import StopOnSignal
from addapt.engines.torch.backbones import Backbone
from addapt.learning import Controls, Progress, teaching
from addapt.learning.checkpoint import load_run
from addapt.learning.run import Run
from tests.cli.conftest import refused
from tests.conftest import MakeFolder
from tests.forks import Fork

WORDS = (
    *("--epochs", "500", "--image-px", "32", "--threads", "1", "--method", "head"),
    *("--engine", "torch"),
)
SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]  # and the exit codes


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """Return a file that another process makes as soon as it is ready for signals."""
    return tmp_path / "ready"


def ended(mark: Path, work: Callable[[], object], *signals: signal.Signals) -> int:
    """Send signals, one after the other, to a process that does `work`; return its exit code."""
    process = Fork(work)
    deadline = time.monotonic() + 20
    for number in signals:
        while not mark.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(process.pid, number)
        time.sleep(0.1)  # else two of a kind may arrive as one
    return process.wait()


def busy(mark: Path, *, gently: bool, hears: bool = False) -> Callable[[], None]:
    """Return work that takes a minute, unless it hears that it should stop."""

    def work() -> None:
        with command(as_json=False, debug=False), StopOnSignal() as stop:
            stop.gently = gently
            mark.touch()
            until = time.monotonic() + 60
            while time.monotonic() < until and not (hears and stop.asked):
                time.sleep(0.01)

    def exit_as_typer_does() -> None:
        try:
            work()
        except typer.Exit as end:
            raise SystemExit(end.exit_code) from None

    return exit_as_typer_does


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_what_need_not_be_saved_ends_at_once(mark: Path, number: signal.Signals, code: int) -> None:
    assert ended(mark, busy(mark, gently=False), number) == code


def test_a_request_is_heard(mark: Path) -> None:
    assert ended(mark, busy(mark, gently=True, hears=True), signal.SIGTERM) == 0


def test_the_second_one_ends_at_once(mark: Path) -> None:
    assert ended(mark, busy(mark, gently=True), signal.SIGTERM, signal.SIGINT) == 143


def test_a_step_that_takes_too_long(mark: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stopping.PATIENCE_S < 5
    monkeypatch.setattr(stopping, "PATIENCE_S", 0.2)
    assert ended(mark, busy(mark, gently=True), signal.SIGTERM) == 143


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in stopping.SIGNALS]
    with StopOnSignal():
        assert signal.getsignal(signal.SIGTERM) not in before
    assert [signal.getsignal(number) for number in stopping.SIGNALS] == before


@pytest.fixture
def tiny_command_line(tiny_backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("addapt.engines.torch.engine.load_backbone", lambda *_, **__: tiny_backbone)


def learn(folder: Path, store: Path, *words: str) -> Callable[[], object]:
    return lambda: app(["learn", "x", str(folder), "--store", str(store), *WORDS, *words])


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_terminated_while_learning(
    number: signal.Signals,
    code: int,
    tiny_command_line: None,
    make_folder: MakeFolder,
    tmp_path: Path,
    mark: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, store = make_folder(), tmp_path / "s"
    unmarked = Run.learn

    def marked(run: Run, controls: Controls, *, restart: bool) -> object:
        def note(progress: Progress) -> None:
            controls.on_progress(progress)
            mark.touch()

        return unmarked(run, replace(controls, on_progress=note), restart=restart)

    monkeypatch.setattr(Run, "learn", marked)
    work = learn(folder, store, "--save-every", "1000")
    assert ended(mark, work, number) == code
    left = load_run(store / ".learning" / "x", {})
    assert left is not None
    assert left.step > 0
    # The next one takes its threads from the state.
    monkeypatch.setattr("addapt.learning.use_fastest_threads", None)
    words = [word for word in WORDS if word not in ("--threads", "1")]
    words[words.index("500")] = "2"
    message = refused("learn", "x", folder, "--store", store, *words)
    assert "its epochs was 500 and now is 2" in message
    words[-1] = "onnx"
    message = refused("learn", "x", folder, "--store", store, *words)
    assert "its engine was torch and now is onnx. Give --engine torch to go on, or" in message


def test_interrupted_while_reading(
    tiny_command_line: None,
    make_folder: MakeFolder,
    tmp_path: Path,
    mark: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def read(*words: object, **options: object) -> None:
        mark.touch()
        time.sleep(60)

    monkeypatch.setattr(teaching, "prepare_lesson", read)
    assert ended(mark, learn(make_folder(), tmp_path / "s"), signal.SIGTERM) == 143
