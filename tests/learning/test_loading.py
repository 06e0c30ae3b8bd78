"""From a file to a model: what was learned comes back, and nothing a file claims is believed."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from addapt._errors import DomainError, UnknownNameError
from addapt.domains import DomainFile, DomainInfo, Store, read_info
from addapt.engines.base import Engine, State
from addapt.engines.torch.backbones import load_backbone
from addapt.engines.torch.engine import TorchEngine
from addapt.engines.torch.freezing import pack_weights
from addapt.learning.loading import KEPT_MODELS, DomainLoader
from addapt.methods import DA3, Head, LoRA, Method, build_method
from tests.conftest import build_tiny_backbone
from tests.domains.domain_cases import INFO
from tests.fake_engine import FakeEngine

GOLDEN = Path(__file__).parents[1] / "domains" / "golden_schema_1.safetensors"
X = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
RNG = np.random.default_rng(1)


def describe(engine: Engine, method: Method, /, **changes: Any) -> DomainInfo:
    own = engine.backbone
    info = replace(
        INFO,
        backbone=own.name,
        weights_sha256=own.weights_sha256,
        method=method.name,
        hyperparameters=asdict(method),
    )
    return replace(info, **changes)


def save(
    store: Store, engine: Engine, method: Method, name: str = "a", /, **changes: Any
) -> tuple[State, Any]:
    """Save a domain of random values; return its tensors and its model's logits of `X`."""
    model = engine.new_model(method, len(INFO.classes), seed=0)
    state = model.state()
    for key in model.trained:
        state[key] = RNG.normal(0, 0.1, state[key].shape).astype(state[key].dtype)
    model.load_state(state)
    stored = model.stored(state)
    store.save(name, describe(engine, method, **changes), stored)
    return stored, model.logits(X)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def lean() -> TorchEngine:
    return TorchEngine(build_tiny_backbone().lean())


def test_finetuned_copies_come_back(store: Store) -> None:
    """Of a plain backbone, and of a lean one whose weights are loaded again."""
    for backbone in (build_tiny_backbone(), load_backbone("mobilenet_v2", "random")):
        engine = TorchEngine(backbone)
        _, logits = save(store, engine, build_method("finetune"))
        assert np.array_equal(DomainLoader(engine, store).load("a")[1].logits(X), logits)


def test_packed_and_converted_backbones(store: Store, lean: TorchEngine) -> None:
    _, expected = save(store, lean, LoRA())
    pack_weights(lean.network)
    lean.features(X)
    double = TorchEngine(build_tiny_backbone().lean().double())
    for engine in (lean, double):
        logits = DomainLoader(engine, store).load("a")[1].logits(X)
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("method", "changes", "message"),
    [
        (Head(), {"classes": ("a", "b")}, r"'head.weight' has shape \(3, 12\), but \(2, 12\)"),
        (DA3(), {"method": "head", "hyperparameters": {}}, "is none of its method's"),
        (Head(), {"method": "da3", "hyperparameters": asdict(DA3())}, "is missing"),
        (Head(), {"method": "da4"}, "Unknown method 'da4'"),
        (Head(), {"hyperparameters": {"size": 1}}, "no hyper-parameter 'size'"),
        (DA3(), {"hyperparameters": {"kernel": 2**31 - 1}}, "'da3' cannot be built as DA3"),
        (DA3(), {"hyperparameters": {"kernel": 5.0}}, "'kernel' of method 'da3' is 5.0"),
        (DA3(), {"hyperparameters": {"grid": 10**4000}}, "'grid' is 1000000.* makes no sense"),
        (DA3(), {"hyperparameters": {"grid": "x" * 9000}}, "cannot be used"),
        (LoRA(), {"hyperparameters": {"rank": 2**31 - 1}}, "has shape"),
        (LoRA(), {"hyperparameters": {"rank": 2**31}}, "'rank' is 2147483648, which makes no"),
    ],
)
def test_a_file_that_is_not_as_declared_is_not_read(
    store: Store,
    lean: TorchEngine,
    monkeypatch: pytest.MonkeyPatch,
    method: Method,
    changes: dict[str, Any],
    message: str,
) -> None:
    save(store, lean, method, **changes)
    monkeypatch.delattr(DomainFile, "read")
    with pytest.raises(DomainError, match=message) as caught:
        DomainLoader(lean, store).load("a")
    assert str(caught.value).startswith(f"{store.path('a')} cannot be used. ")
    assert len(str(caught.value)) < 1200


def test_what_does_not_go_together_is_refused(store: Store, lean: TorchEngine) -> None:
    engine = FakeEngine()
    state, _ = save(store, engine, Head())
    integers = {name: array.astype(np.int32) for name, array in state.items()}
    store.save("type", describe(engine, Head()), integers)
    save(store, lean, DA3(), "method", backbone="fake", weights_sha256="f" * 64)
    for name, message in (
        ("type", "'head.weight' is of type int32, but float32 is needed"),
        ("method", "cannot be used. The engine 'fake' has no method 'da3'"),
    ):
        with pytest.raises(DomainError, match=message):
            DomainLoader(engine, store).load(name)
        with pytest.raises(DomainError, match=f"{name} was learned on fake"):  # before all else
            DomainLoader(FakeEngine("0" * 64), store).load(name)


def test_a_domain_of_schema_1_still_works(tmp_path: Path) -> None:
    (tmp_path / "old.safetensors").write_bytes(GOLDEN.read_bytes())
    backbone = build_tiny_backbone()
    sha256 = read_info(GOLDEN).weights_sha256
    backbone.info = replace(backbone.info, weights_sha256=sha256)
    engine = TorchEngine(backbone)
    info, model = DomainLoader(engine, Store(tmp_path)).load("old")
    assert info.classes == ("cat", "dog")
    weight = torch.arange(24.0).view(2, 12) / 8 - 1
    expected = engine.features(X) @ weight.T.numpy() + np.array([-0.5, 0.25])
    np.testing.assert_allclose(model.logits(X), expected, rtol=1e-5, atol=1e-5)


def test_a_model_is_kept_until_its_file_changes(store: Store) -> None:
    engine = FakeEngine()
    save(store, engine, Head())
    loader = DomainLoader(engine, store)
    first = loader.load("a")[1]
    assert loader.load("a")[1] is first
    state, _ = save(Store(store.folder), engine, Head())  # as another program would
    info, second = loader.load("a")
    assert second is not first
    assert all(np.array_equal(second.state()[name], state[name]) for name in state)
    store.save("a", replace(info, epochs=info.epochs + 1), state)
    assert loader.load("a")[0].epochs == info.epochs + 1
    store.path("a").write_bytes(store.path("a").read_bytes()[:-4])
    with pytest.raises(DomainError, match="cut off"):
        loader.load("a")
    store.remove("a")
    with pytest.raises(UnknownNameError):
        loader.load("a")
    save(store, engine, Head(), "b")
    store.rename("b", "a")
    loader.load("a")
    assert engine.loaded == 4


def test_the_models_used_last_are_kept(store: Store) -> None:
    engine = FakeEngine()
    names = [f"domain-{i}" for i in range(KEPT_MODELS + 1)]
    for name in names:
        save(store, engine, Head(), name)
    loader = DomainLoader(engine, store)
    for name in (*names[:-1], names[0], names[-1]):
        loader.load(name)
    assert engine.loaded == KEPT_MODELS + 1
    loader.load(names[0])
    assert engine.loaded == KEPT_MODELS + 1
    loader.load(names[1])  # which was used longest ago
    assert engine.loaded == KEPT_MODELS + 2
