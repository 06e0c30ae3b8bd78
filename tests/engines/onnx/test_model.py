"""Through the door comes what the engine on PyTorch computes, and the same bytes each time."""

import gc
from typing import Any

import numpy as np
import pytest

from addapt.engines.base import Engine, Model, State, StepSettings
from addapt.engines.onnx.engine import OnnxEngine
from addapt.engines.onnx.model import PIXELS_AT_ONCE, OnnxModel, images_at_once
from addapt.engines.torch.engine import TorchEngine
from addapt.methods import DA3, Bias, Head, Method
from tests.engines.onnx.conftest import LATE
from tests.engines.onnx.pair import relative, some_images

PX = 40
IMAGES = some_images(5, PX)
LABELS = np.array([0, 1, 2, 0, 1])
SETTINGS = StepSettings(lr=1e-3, weight_decay=0.1, label_smoothing=0.1)
METHODS = [LATE, Bias(), Head()]


def learning_model(engine: Engine, method: Method, seed: int = 3) -> Any:
    model = engine.new_model(method, 3, seed=seed)
    model.prepare(SETTINGS)
    return model


def shaken(model: Any) -> Any:
    """Give a model values that are nowhere zero, as the head's are at first."""
    rng = np.random.default_rng(0)
    model.load_state({k: v + rng.normal(0, 0.02, v.shape) for k, v in model.state().items()})
    return model


def learn(model: Model, steps: int) -> list[float]:
    """Make steps of two micro-batches; return the losses."""
    losses = []
    for step in range(steps):
        parts = (slice(0, 3), slice(3, 5))
        losses.append(sum(model.step(IMAGES[part], LABELS[part], batch=5) for part in parts))
        model.update(1 - step / 10)
    return losses


def assert_same(a: State, b: State) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype
        assert np.array_equal(a[name], b[name]), name


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_learning_equals_pytorchs(
    engine: OnnxEngine, torch_engine: TorchEngine, method: Method
) -> None:
    model, twin = learning_model(engine, method), learning_model(torch_engine, method)
    assert_same(model.state(), twin.state())
    assert model.trained == twin.trained
    losses = learn(model, 2)
    np.testing.assert_allclose(losses, learn(twin, 2), rtol=1e-4)
    moments, expected = model.optimiser_state(), twin.optimiser_state()
    assert moments.keys() == expected.keys()
    for name, array in expected.items():
        assert (moments[name].dtype, moments[name].shape) == (array.dtype, array.shape)
        if np.any(array):
            # What was learned with differs from the second step on.
            assert relative(moments[name], array) < 1e-2, name
    losses += learn(model, 4)
    np.testing.assert_allclose(losses[2:], learn(twin, 4), rtol=1e-4)
    assert losses[-1] < losses[0]
    assert relative(model.logits(IMAGES), twin.logits(IMAGES)) < 1e-3


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_state_goes_on_in_another_model(
    engine: OnnxEngine, torch_engine: TorchEngine, method: Method
) -> None:
    """In one of the other engine, too, where it is the very same."""
    model, other = learning_model(engine, method), learning_model(engine, method, seed=4)
    learn(model, 2)
    learn(other, 1)
    state, moments = model.state(), model.optimiser_state()
    kept = {key: array.copy() for key, array in state.items()}
    twin = learning_model(torch_engine, method)
    for follower in (other, twin):
        follower.load_state(state)
        follower.load_optimiser_state(moments)
        assert_same(follower.state(), state)
        assert_same(follower.optimiser_state(), moments)
    losses = [learn(each, 1)[0] for each in (model, other, twin)]
    assert losses[0] == losses[1] == pytest.approx(losses[2], rel=1e-5)
    assert_same(other.state(), model.state())
    assert_same(other.optimiser_state(), model.optimiser_state())
    assert_same(state, kept)  # they were copies
    assert any(not np.array_equal(state[key], array) for key, array in model.state().items())

    back = learning_model(engine, method)
    back.load_state(twin.state())
    back.load_optimiser_state(twin.optimiser_state())
    assert_same(back.state(), twin.state())
    assert_same(back.optimiser_state(), twin.optimiser_state())


def test_averages_before_the_first_step(engine: OnnxEngine) -> None:
    model, other = learning_model(engine, LATE), learning_model(engine, LATE)
    assert model.optimiser_state() == {}
    other.load_optimiser_state({})
    learn(model, 1)
    learn(other, 1)
    assert_same(other.state(), model.state())


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_steps_give_the_same_bytes(engine: OnnxEngine, threads: int) -> None:
    """Whether the session is new or not, and whatever it computed before."""
    engine.threads = threads
    states = []
    for other in (False, True):
        gc.collect()
        model = learning_model(engine, LATE)
        if other:
            before = model.state()
            model.logits(IMAGES[:2])
            model.load_state(before)
        losses = learn(model, 4)
        states.append(model.state() | model.optimiser_state() | {"losses": np.array(losses)})
    assert_same(*states)


def test_what_is_recognised_does_not_depend_on_the_session(engine: OnnxEngine) -> None:
    """While learning, the session at hand answers, as two take too much memory."""
    model = learning_model(engine, LATE)
    learn(model, 2)
    found = model.logits(IMAGES)
    assert isinstance(model, OnnxModel)
    assert model.stored(model.state()).keys() == model.state().keys()
    again = engine.load_model(LATE, 3, model.stored(model.state()))
    assert relative(again.logits(IMAGES), found) < 1e-5
    assert np.array_equal(model.logits(IMAGES), found)
    before = again.logits(IMAGES)
    engine.release()
    assert np.array_equal(again.logits(IMAGES), before)
    logits, features = again.answers(IMAGES)
    assert np.array_equal(logits, before)
    state = again.state()
    assert relative(features @ state["head.weight"].T + state["head.bias"], logits) < 1e-5


def test_any_number_of_images(engine: OnnxEngine) -> None:
    model = shaken(engine.new_model(LATE, 3, seed=0))
    many = some_images(images_at_once(PX) + 2, PX)
    whole = model.logits(many)
    assert whole.shape == (len(many), 3)
    for place in (0, len(many) - 1):
        assert relative(model.logits(many[place : place + 1]), whole[place : place + 1]) < 1e-5
    assert model.logits(many[:0]).shape == (0, 3)
    assert engine.features(many[:0]).shape == (0, 1280)
    assert relative(engine.features(many)[-1:], engine.features(many[-1:])) < 1e-5


@pytest.mark.parametrize("px", [40, 160])
def test_learning_is_the_same_with_one_thread_and_with_two(engine: OnnxEngine, px: int) -> None:
    """Every bit: what a domain learns must not depend on the machine."""
    images = some_images(5, px)
    states, found = [], []
    for threads in (1, 2):
        engine.threads = threads
        model = learning_model(engine, LATE)
        for _ in range(2):
            for part in (slice(0, 2), slice(2, 4), slice(4, 5)):
                model.step(images[part], LABELS[part], batch=5)
            model.update(1.0)
        states.append(model.state())
        found.append(model.logits(images))
    assert_same(*states)
    assert np.array_equal(*found)


def test_a_micro_batch_of_one_image(engine: OnnxEngine) -> None:
    """All threads work on it; to the last bits it is what it is beside another one."""
    engine.threads = 2
    one, two = learning_model(engine, LATE), learning_model(engine, LATE)
    for part in (slice(0, 1), slice(1, 2)):
        one.step(IMAGES[part], LABELS[part], batch=2)
    two.step(IMAGES[:2], LABELS[:2], batch=2)
    one.update(1.0)
    two.update(1.0)
    for name, array in one.state().items():
        np.testing.assert_allclose(array, two.state()[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("px", [1, 32, 100, 224, 500])
def test_few_pixels_go_through_together(px: int) -> None:
    assert images_at_once(px) * px**2 <= PIXELS_AT_ONCE or images_at_once(px) == 1
    assert (images_at_once(px) + 1) * px**2 > PIXELS_AT_ONCE


def test_images_as_they_lie_in_memory(engine: OnnxEngine) -> None:
    model = shaken(learning_model(engine, LATE))
    mirrored = IMAGES[:, :, ::-1]
    frozen = mirrored.copy()
    frozen.flags.writeable = False
    assert np.array_equal(model.logits(mirrored), model.logits(frozen))
    assert model.step(mirrored, LABELS, batch=5) == model.step(frozen, LABELS, batch=5)
    assert not np.array_equal(model.logits(mirrored), model.logits(IMAGES))


def test_one_class(engine: OnnxEngine) -> None:
    model = engine.new_model(DA3(first_block=15), 1, seed=0)
    model.prepare(SETTINGS)
    assert model.logits(IMAGES).shape == (5, 1)
    assert model.step(IMAGES, np.zeros(5, np.int64), batch=5) == pytest.approx(0, abs=1e-6)


def test_compute_is_that_of_all_images(engine: OnnxEngine) -> None:
    model = engine.new_model(Head(), 3, seed=0)
    assert model.multiply_adds(IMAGES) == 5 * engine.multiply_adds(PX)


def test_nothing_is_warned_of_when_numbers_overflow(engine: OnnxEngine) -> None:
    """The loss tells; the loop ends with a sentence."""
    model = engine.new_model(Bias(), 3, seed=0)
    model.prepare(StepSettings(lr=1e38, weight_decay=0.5))
    losses = learn(model, 3)
    assert np.isfinite(losses[0])
    assert not np.isfinite(losses[-1])
