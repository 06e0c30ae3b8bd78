"""Steps that are made to see what they take: in another process, in this one, or remembered."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from addapt import GateConfig
from addapt._errors import OptionError, TrainingError
from addapt.engines import engine_of, open_engine
from addapt.engines.base import Engine
from addapt.learning import trial_process
from addapt.learning.trial import Question, Trial, make_trial
from addapt.learning.trial_process import order_trial, try_steps
from addapt.memory import rss_bytes
from addapt.methods import DA3, Finetune, Head, registry
from tests.conftest import build_tiny_backbone
from tests.fake_engine import FakeEngine, FakeGates

MB = 1_000_000
ORDER = {"engine": "torch", "backbone": "resnet18", "weights": "random", "threads": 1}
QUESTION = Question(Head(), classes=3, image_px=32, batch=4)
TRIAL = Trial(100 * MB, 200 * MB, {4: 40 * MB, 8: 80 * MB}, 5 * MB, 0.01, 1000)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ADDAPT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Have `TRIAL` be the answer of other processes; return what they were asked."""
    asked: list[dict[str, Any]] = []

    def answer(order: dict[str, Any]) -> dict[str, Any]:
        asked.append(order)
        above = {str(size): peak for size, peak in TRIAL.above_bytes.items()}
        return {**vars(TRIAL), "above_bytes": above}

    monkeypatch.setattr(trial_process, "_answer_elsewhere", answer)
    return asked


def test_a_line_through_what_was_tried() -> None:
    assert [TRIAL.peak_bytes(size) // MB for size in (1, 4, 16)] == [10, 40, 160]
    assert replace(TRIAL, resting_bytes=50 * MB).peak_bytes(1) == 50 * MB
    assert replace(TRIAL, above_bytes={8: 80 * MB}).peak_bytes(2) == 80 * MB


def test_sizes_that_are_tried() -> None:
    for method, px, batch, sizes in (
        (Head(), 224, 16, (4, 8)),
        (Head(), 224, 3, (1, 3)),
        (Head(), 224, 1, (1,)),
        (Head(), 2000, 16, (1, 2)),
        (Finetune(), 224, 2, (2,)),  # statistics of one image would be poor
        (Finetune(), 224, 16, (4, 8)),
    ):
        assert Question(method, 3, px, batch).micro_batches == sizes


def test_another_process_finds_what_this_one_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ADDAPT_CACHE", str(tmp_path))  # where nothing is remembered yet
    monkeypatch.setenv("PYTHONWARNINGS", "error")  # what libraries warn of is no failure
    engine = open_engine("resnet18", "random")
    there = try_steps(engine, QUESTION)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert try_steps(engine, QUESTION) == there  # remembered
    here = make_trial(engine, QUESTION)
    assert there.domain_bytes == here.domain_bytes == 4 * (512 * 3 + 3)
    assert list(there.above_bytes) == list(here.above_bytes) == [2, 4]
    assert there.image_s > 0
    if rss_bytes() is not None:
        assert 30 * MB < (there.started_bytes or 0) < (there.held_bytes or 0) < 1000 * MB
        # The least that the maps of the stem take.
        assert min(there.above_bytes.values()) > 2 * 4 * 64 * 16 * 16


class Ordered(FakeEngine):
    """An engine that another process could open."""

    order: dict[str, Any] = {"engine": "fake", "backbone": "fake", "weights": None}


def test_what_only_this_process_has_is_tried_in_it(
    children: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert try_steps(engine_of(build_tiny_backbone()), QUESTION).domain_bytes > 0
    monkeypatch.setitem(registry._registered, "head", lambda *_: None)  # a method of one's own
    assert try_steps(Ordered(), QUESTION).domain_bytes > 0
    assert not children


def test_gates_do_what_they_do_besides_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(FakeGates, "_note", lambda self, call, batches: calls.append(call))
    make_trial(FakeEngine(), replace(QUESTION, gates=GateConfig("blocks")))
    assert calls == ["measure", "settle", "refit", "refit"]


def test_asked_once(children: list[dict[str, Any]], tmp_path: Path) -> None:
    def ask(engine: Engine, question: Question = QUESTION) -> int:
        assert try_steps(engine, question) == TRIAL
        return len(children)

    engine, weights = Ordered(), tmp_path / "weights"
    assert [ask(engine), ask(engine), ask(Ordered())] == [1, 1, 1]
    assert json.loads(json.dumps(children[0])) == children[0]
    assert children[0]["engine"]["threads"] == 1
    for changed in ({"image_px": 64}, {"batch": 8}, {"method": DA3()}, {"evaluation_batch": 2}):
        before = len(children)
        assert ask(engine, replace(QUESTION, **changed)) == before + 1
    engine.threads = 2
    assert ask(engine) == 6
    engine.order = {**Ordered.order, "weights": str(weights)}
    for count, content in ((7, "a"), (8, "another file of that name")):
        weights.write_text(content)
        assert [ask(engine), ask(engine)] == [count, count]


def test_a_damaged_answer_is_asked_for_anew(children: list[dict[str, Any]], cache: Path) -> None:
    assert try_steps(Ordered(), QUESTION) == TRIAL
    (path,) = cache.iterdir()
    kept = json.loads(path.read_text())
    nothing_tried = {**kept["answer"], "above_bytes": {}}
    for asked, answer in enumerate(("x", {}, {"above_bytes": {"1": "x"}}, nothing_tried), 2):
        path.write_text(json.dumps({**kept, "answer": answer}))
        assert try_steps(Ordered(), QUESTION) == TRIAL
        assert len(children) == asked


def run_here(order: dict[str, Any], environment: object) -> "subprocess.CompletedProcess[str]":
    """Do in this process, which is quicker, what another one would do."""
    return subprocess.CompletedProcess([], 0, json.dumps(trial_process._answer(order)), "")


def test_refused_with_the_reason(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_process, "_run", run_here)
    with pytest.raises(OptionError, match="none.pt"):
        order_trial({**ORDER, "weights": str(tmp_path / "none.pt")}, QUESTION)
    assert not cache.exists()


def test_a_process_that_dies(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(TrainingError, match=r"exit code 1.*`budget_bytes`"):
        order_trial(ORDER, QUESTION)
    assert not cache.exists()


def test_a_process_that_is_ended_for_lack_of_memory_is_asked_for_less(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended = subprocess.CompletedProcess([], -9, "", "")
    tried: list[int] = []

    def end_the_first(order: dict[str, Any], environment: object) -> Any:
        tried.append(order["pixels_at_once"])
        return ended if len(tried) == 1 else run_here(order, environment)

    monkeypatch.setattr(trial_process, "open_engine", lambda **_: FakeEngine())
    monkeypatch.setattr(trial_process, "_run", end_the_first)
    question = replace(QUESTION, image_px=224, batch=16)
    assert list(order_trial(ORDER, question).above_bytes) == [1, 2]
    assert len(tried) == 2 and tried[1] < tried[0]
    monkeypatch.setattr(trial_process, "_run", lambda *_: ended)
    with pytest.raises(TrainingError, match="could not be tried"):
        order_trial(ORDER, replace(question, batch=8))
