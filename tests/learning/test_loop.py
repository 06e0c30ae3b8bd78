"""The loop: the same seed gives the same bits, in one go or in pieces; NaN ends it."""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from addapt._errors import TrainingError
from addapt.engines.base import Model, State
from addapt.gates import GateConfig
from addapt.images import Augmentation, load_images, scan_folder
from addapt.learning import Controls, Job, Progress, loop
from addapt.learning.evaluation import evaluate
from addapt.learning.lesson import Lesson
from addapt.learning.loop import lr_factor, train
from addapt.learning.saving import StateSaver
from addapt.learning.scores import Scores
from addapt.learning.state import TrainingState
from addapt.methods import Head
from tests.conftest import MakeFolder
from tests.fake_engine import FakeEngine

STEPS_PER_EPOCH = 4
JOB = Job(
    method=Head(),
    gates=None,
    image_px=32,
    full_px=32,
    epochs=3,
    batch=5,
    micro_batch=5,
    lr=1e-2,
    backbone_lr=0.0,
    weight_decay=0.0,
    label_smoothing=0.0,
    patience=3,
    seed=0,
    augmentation=Augmentation(flip=True),
)


class Recorder(StateSaver):
    """Keeps the domain's tensors of each epoch, and writes nothing."""

    def __init__(self) -> None:
        super().__init__(Path(), {})
        self.epochs: list[State] = []

    def is_due(self) -> bool:
        return False

    def save_epoch(self, state: TrainingState) -> None:
        self.epochs.append(dict(state.domain))
        state.release()


@pytest.fixture
def lesson(make_folder: MakeFolder) -> Lesson:
    contents = scan_folder(make_folder(images=6))
    images, _ = load_images(contents.train, 32, "bilinear")
    return Lesson(contents.classes, images, images, 32, 32, "", ())


def new_model(job: Job = JOB) -> Model:
    model = FakeEngine().new_model(job.method, 3, seed=0, gates=job.gates)
    model.prepare(job.settings)
    return model


def learned(lesson: Lesson, job: Job = JOB) -> TrainingState:
    state = TrainingState()
    assert train(new_model(job), job, lesson, state, Recorder(), Controls())
    return state


def assert_same(a: State, b: State) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert np.array_equal(a[name], b[name]), name


def losses(state: TrainingState) -> list[tuple[float, float]]:
    return [(record.train_loss, record.val_loss) for record in state.history]


def test_same_seed_same_bits(lesson: Lesson) -> None:
    first = learned(lesson)
    np.random.seed(99)  # the global generator must not matter
    second = learned(lesson)
    assert_same(first.best, second.best)
    assert losses(first) == losses(second)
    third = learned(lesson, replace(JOB, seed=1))
    assert any(not np.array_equal(first.best[name], third.best[name]) for name in first.best)


def test_every_step_varies_images_anew(lesson: Lesson, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[bytes] = []
    draw = Augmentation.draw

    def note(augmentation: Augmentation, images: int, generator: np.random.Generator) -> Any:
        draws = draw(augmentation, images, generator)
        drawn.append(draws.tobytes())
        return draws

    monkeypatch.setattr(Augmentation, "draw", note)
    learned(lesson)
    assert len(set(drawn)) == len(drawn) == 3 * STEPS_PER_EPOCH


def test_learns(lesson: Lesson) -> None:
    state = learned(lesson, replace(JOB, epochs=30, patience=30))
    model = new_model()
    before = evaluate(model, lesson.val)[0].accuracy
    model.load_state(state.best)
    after = evaluate(model, lesson.val)[0].accuracy
    assert after == state.best_accuracy > before
    assert after >= 0.9


@pytest.mark.parametrize("asked", [1, 4, 5, 8])
def test_resumed_run_ends_with_the_same_bits(lesson: Lesson, asked: int) -> None:
    """Stopped after a step, before validation, within it, or in the second epoch."""
    whole = learned(lesson)
    state, answers = TrainingState(), itertools.count(1)
    controls = Controls(should_stop=lambda: next(answers) >= asked)
    assert not train(new_model(), JOB, lesson, state, Recorder(), controls)
    # An epoch asks after each step, and three times in its validation of 18 images.
    assert state.step == {1: 1, 4: 4, 5: 4, 8: 5}[asked]
    before = state.step
    steps: list[int] = []
    controls = Controls(on_progress=lambda progress: steps.append(progress.done))
    assert train(new_model(), JOB, lesson, state, Recorder(), controls)
    assert steps == list(range(before + 1, 3 * STEPS_PER_EPOCH + 1))
    assert_same(state.best, whole.best)
    assert_same(state.domain, whole.domain)
    assert losses(state) == losses(whole)


def test_micro_batches_change_only_rounding(lesson: Lesson) -> None:
    whole, parts = (learned(lesson, replace(JOB, micro_batch=size)) for size in (5, 2))
    for name in whole.domain:
        np.testing.assert_allclose(whole.domain[name], parts.domain[name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("spoilt_step", "message"),
    [(6, "The loss became nan at step 7 of 12"), (8, "validation loss became nan at step 8 of 12")],
)
def test_loss_that_is_not_a_number(lesson: Lesson, spoilt_step: int, message: str) -> None:
    model, saver, state = new_model(), Recorder(), TrainingState()

    def spoil(progress: Progress) -> None:
        if progress.done == spoilt_step:
            model._state["head.weight"] *= np.float32("nan")  # type: ignore[attr-defined]

    with pytest.raises(TrainingError, match=rf"{message}.*smaller `lr` than 0.01"):
        train(model, JOB, lesson, state, saver, Controls(on_progress=spoil))
    assert (state.step, len(saver.epochs)) == (4, 1)
    assert_same(state.best, saver.epochs[0])
    assert all(np.isfinite(array).all() for array in state.best.values())


def test_stops_when_validation_became_worse(
    lesson: Lesson, monkeypatch: pytest.MonkeyPatch
) -> None:
    correct = iter([2, 9, 1, 1, 1])
    monkeypatch.setattr(
        loop, "evaluate", lambda *_: (Scores(np.array([10]), np.array([next(correct)])), 1.0)
    )
    saver, state = Recorder(), TrainingState()
    job = replace(JOB, epochs=20, patience=2)
    train(new_model(), job, lesson, state, saver, Controls())
    assert (state.best_epoch, state.best_accuracy, len(state.history)) == (2, 0.9, 4)
    assert_same(state.best, saver.epochs[1])


def test_gates_are_refitted_once_an_epoch(lesson: Lesson) -> None:
    job = replace(JOB, gates=GateConfig("blocks"))
    models: list[Any] = [new_model(job) for _ in range(2)]
    state, answers = TrainingState(), iter([False, True])
    stopped = Controls(should_stop=lambda: next(answers))
    train(models[0], job, lesson, state, Recorder(), stopped)
    train(models[1], job, lesson, state, Recorder(), Controls())
    assert [model.gates.calls for model in models] == [["refit"], ["refit"] * 2]


def test_learning_rate_warms_up_and_ends_at_zero(
    lesson: Lesson, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = new_model()
    shares: list[float] = []
    monkeypatch.setattr(model, "update", shares.append)
    train(model, JOB, lesson, TrainingState(), Recorder(), Controls())
    assert shares == [lr_factor(step, 12) for step in range(12)]
    factors = [lr_factor(step, 100) for step in range(100)]
    assert max(factors) == 1
    assert factors[0] == pytest.approx(0.1)
    assert factors == sorted(factors[:10]) + sorted(factors[10:], reverse=True)
    assert factors[-1] < 0.001
    assert lr_factor(0, 1) > 0
