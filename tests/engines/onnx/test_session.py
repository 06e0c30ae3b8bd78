"""Sessions: kept as long as they are the last ones used, and errors of the runtime in words."""

from pathlib import Path

import numpy as np
import pytest

from addapt._errors import AddaptError
from addapt.engines.base import StepSettings
from addapt.engines.onnx.engine import OnnxEngine
from addapt.engines.onnx.model import OnnxModel
from addapt.engines.onnx.session import KEPT_SESSIONS, Session, Sessions
from addapt.engines.onnx.step import FEATURES
from addapt.methods import Head
from tests.engines.onnx.pair import some_images


def test_a_graph_that_the_runtime_cannot_run(tmp_path: Path) -> None:
    graph = tmp_path / "x.onnx"
    graph.write_bytes(b"nonsense")
    with pytest.raises(AddaptError, match="cannot run the graph .* pip install --upgrade") as found:
        Session(graph, threads=1)
    assert "\n" not in str(found.value)


def test_the_last_ones_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    kept = Sessions()

    class Made(Session):
        def __init__(self, key: str) -> None:
            # What is let go of makes room first.
            assert len(kept._kept) < KEPT_SESSIONS
            made.append(key)

    def get(key: str) -> Session:
        return kept.get(key, lambda: Made(key))

    first = get("a")
    assert get("a") is first
    for key in "bc":
        get(key)
    assert get("a") is first  # used last
    get("d")
    assert get("a") is first
    get("b")  # was the oldest
    assert made == list("abcdb")
    kept.release()
    assert get("a") is not first


def test_another_number_of_threads_is_another_session(engine: OnnxEngine) -> None:
    images = some_images(2, 40)
    one = engine.features(images)
    engine.threads = 2
    assert engine.threads == 2
    np.testing.assert_allclose(engine.features(images), one, rtol=1e-4, atol=1e-5)


def test_runs_side_by_side_keep_their_order(engine: OnnxEngine) -> None:
    images = some_images(6, 40)
    model = engine.new_model(Head(), 2, seed=0)
    assert isinstance(model, OnnxModel)
    runs = [model._inputs(images[at : at + 1]) for at in range(6)]
    engine.threads = 2
    session = engine._runtime.session(Head(), 40)
    session._side_by_side = 2
    found = [features for (features,) in session.run_each([FEATURES], runs)]
    assert [array.shape for array in found] == [(1, 1280)] * 6
    for run, features in zip(runs, found, strict=True):
        assert np.array_equal(session.run([FEATURES], run)[0], features)
    with pytest.raises(AddaptError, match="failed"):
        list(session.run_each([FEATURES], [runs[0], {}, runs[1]]))


def test_threads_do_not_wait_busily_after_a_run(engine: OnnxEngine) -> None:
    """Two sessions in turns would take twice their time."""
    options = engine._runtime.session(Head(), 40)._session.get_session_options()
    assert options.get_session_config_entry("session.force_spinning_stop") == "1"


def test_domains_share_a_session(engine: OnnxEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """To go from one to the other takes no time, therefore."""
    images = some_images(2, 40)
    engine.features(images)
    models = [engine.new_model(Head(), classes, seed=0) for classes in (2, 3)]

    def refuse(*_: object) -> None:
        raise AssertionError("a session is made")

    monkeypatch.setattr("addapt.engines.onnx.runtime.Session", refuse)
    assert [model.logits(images).shape for model in models] == [(2, 2), (2, 3)]


def test_learning_lets_go_of_what_recognises(engine: OnnxEngine) -> None:
    images = some_images(2, 40)
    model = engine.new_model(Head(), 2, seed=0)
    model.logits(images)
    assert engine._runtime._sessions._kept
    model.prepare(StepSettings(lr=1e-3))
    assert not engine._runtime._sessions._kept
