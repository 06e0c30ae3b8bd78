"""Through the door comes what the module itself computes, and nothing outside it changes."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from addapt._errors import OptionError
from addapt.domains import open_domain
from addapt.domains.file import write_domain
from addapt.engines import engine_of, open_engine
from addapt.engines.base import Model, State, StepSettings
from addapt.engines.torch.arrays import backbone_input, to_arrays
from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.engine import TorchEngine, hollow_backbone
from addapt.engines.torch.gates import count_multiply_adds
from addapt.engines.torch.memory import accumulate_gradients
from addapt.engines.torch.methods import AdaptedModel, attach
from addapt.engines.torch.model import TorchModel
from addapt.gates import BLOCKS, GateConfig
from addapt.methods import DA3, METHODS, Head, build_method
from tests.conftest import build_tiny_backbone
from tests.domains.domain_cases import INFO
from tests.engines.torch.gates.small_backbones import small_backbone

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 0, 1])
SETTINGS = StepSettings(lr=1e-2, backbone_lr=1e-3, weight_decay=0.1, label_smoothing=0.1)
# These were measured; others that are as quick may be added.
QUICK_ON_META = set(
    "clone detach empty fill_ new_empty new_ones new_zeros select uniform_ zero_".split()
)


def engine_for(name: str) -> TorchEngine:
    """Return a lean one, or a plain one for methods that need that."""
    backbone = build_tiny_backbone()
    return TorchEngine(backbone if METHODS[name].plain else backbone.lean())


@pytest.fixture
def engine() -> TorchEngine:
    return engine_for("head")


def learning_model(engine: TorchEngine, method: Any) -> TorchModel:
    model = engine.new_model(method, 3, seed=3)
    model.prepare(SETTINGS)
    return model


def learn(model: Model, steps: int) -> None:
    for _ in range(steps):
        for part in (slice(0, 3), slice(3, 5)):
            model.step(IMAGES[part], LABELS[part], batch=5)
        model.update(0.5)


def assert_same(a: State, b: State) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype
        assert np.array_equal(a[name], b[name]), name


@pytest.mark.parametrize("name", ["da3", "finetune", "piggyback"])
def test_steps_are_those_of_the_module(name: str) -> None:
    engine, method = engine_for(name), build_method(name)
    model = learning_model(engine, method)
    torch.manual_seed(3)
    twin = attach(engine.network, method, 3).train()
    assert_same(model.state(), to_arrays(twin.domain_state()))
    assert model.trained == {key for key, t in twin.domain_state().items() if t.requires_grad}
    optimiser = _torch_adamw(twin)
    x, labels = backbone_input(engine.network, IMAGES), torch.from_numpy(LABELS)
    for share in (0.5, 1.0):
        optimiser.zero_grad()
        expected = accumulate_gradients(twin, x, labels, micro_batch=3, label_smoothing=0.1)
        parts = (slice(0, 3), slice(3, 5))
        loss = sum(model.step(IMAGES[part], LABELS[part], batch=5) for part in parts)
        assert loss == pytest.approx(expected)
        own = model.module.domain_state()
        for key, tensor in twin.domain_state().items():
            assert (tensor.grad is None) == (own[key].grad is None)
            if tensor.grad is not None:
                torch.testing.assert_close(own[key].grad, tensor.grad)
        for group in optimiser.param_groups:
            group["lr"] = share * group["peak"]
        optimiser.step()
        model.update(share)
        assert all(parameter.grad is None for parameter in model.module.parameters())
    for key, tensor in twin.domain_state().items():
        torch.testing.assert_close(model.module.domain_state()[key], tensor)
    twin.load_domain_state(model.module.domain_state())
    with torch.no_grad():
        assert np.array_equal(model.logits(IMAGES), twin.eval()(x).numpy())
        assert np.array_equal(model.answers(IMAGES).logits, twin(x).numpy())
        assert np.array_equal(model.answers(IMAGES).features, twin.features(x).numpy())


def _torch_adamw(twin: AdaptedModel) -> torch.optim.AdamW:
    pretrained = list(twin.adaptor.pretrained_parameters())
    known = {id(parameter) for parameter in pretrained}
    fresh = [p for p in twin.domain_parameters() if id(p) not in known]
    groups = [
        {"params": fresh, "peak": SETTINGS.lr},
        {"params": pretrained, "peak": SETTINGS.backbone_lr},
    ]
    return torch.optim.AdamW(groups, weight_decay=SETTINGS.weight_decay)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("da3", torch.float32), ("finetune", torch.bfloat16), ("finetune", torch.float64)],
)
def test_a_state_goes_on_in_another_model(name: str, dtype: torch.dtype) -> None:
    engine = TorchEngine(build_tiny_backbone().to(dtype))
    model, other = (learning_model(engine, build_method(name)) for _ in range(2))
    learn(model, 2)
    state, moments = model.state(), model.optimiser_state()
    kept = {key: array.copy() for key, array in (state | moments).items()}
    learn(other, 1)
    other.load_state(state)
    other.load_optimiser_state(moments)
    for each in (model, other):
        learn(each, 1)
    assert_same(other.state(), model.state())
    assert_same(other.optimiser_state(), model.optimiser_state())
    assert_same(state | moments, kept)  # they were copies
    assert any(not np.array_equal(state[key], array) for key, array in model.state().items())


def test_averages_before_the_first_gradient(engine: TorchEngine) -> None:
    model, other = (learning_model(engine, DA3()) for _ in range(2))
    assert model.optimiser_state() == {}
    other.load_optimiser_state({})
    learn(model, 1)
    keys = {f"{name}.{key}" for name in model.trained for key in ("step", "exp_avg", "exp_avg_sq")}
    assert model.optimiser_state().keys() <= keys
    learn(other, 1)
    assert_same(other.state(), model.state())


@pytest.mark.parametrize("name", sorted(METHODS))
def test_forms_are_those_of_the_file(name: str, tmp_path: Path) -> None:
    engine, method = engine_for(name), build_method(name)
    model = learning_model(engine, method)
    learn(model, 1)
    path = tmp_path / "a.safetensors"
    write_domain(path, INFO, model.stored(model.state()))
    with open_domain(path) as file:
        found = {key: (place.dtype, place.shape) for key, place in file.tensors.items()}
        stored = file.read()
    assert engine.forms(method, 3) == found
    again = engine.load_model(method, 3, stored)
    assert np.array_equal(again.logits(IMAGES), model.logits(IMAGES))


def test_what_no_model_can_have_is_refused(engine: TorchEngine) -> None:
    with pytest.raises(OptionError, match="give at least 1"):
        engine.forms(Head(), 0)


def test_features_and_compute_are_the_networks(engine: TorchEngine) -> None:
    x = backbone_input(engine.network, IMAGES)
    with torch.no_grad():
        assert np.array_equal(engine.features(IMAGES), engine.network(x).numpy())
    assert engine.multiply_adds(32) == count_multiply_adds(engine.network, x[:1])
    head = engine.new_model(Head(), 3, seed=0)
    assert head.multiply_adds(IMAGES) == 5 * (engine.multiply_adds(32) + 12 * 3)


def test_gates_decide_while_they_are_active() -> None:
    engine = TorchEngine(small_backbone())
    model = engine.new_model(DA3(), 3, seed=0, gates=GateConfig(BLOCKS, False, 0.7))
    assert model.gates is not None
    model.gates.measure([IMAGES])
    model.gates.settle([IMAGES])
    costs = []
    for on in (True, False):
        model.gates.active = on
        costs.append(model.multiply_adds(IMAGES))
        with torch.no_grad():
            expected = model.module(backbone_input(engine.network, IMAGES)).numpy()
        assert np.array_equal(model.logits(IMAGES), expected)
    assert costs[0] <= 0.7 * costs[1]
    shares = model.gates.open_shares([IMAGES])
    assert shares == model.module.gates.open_shares([backbone_input(engine.network, IMAGES)])  # type: ignore[union-attr]


def test_another_engine_made_to_order_is_the_same() -> None:
    engine = open_engine("mobilenet_v2", "random", engine="torch", seed=3)
    again = open_engine(**json.loads(json.dumps(engine.order)))
    assert again.backbone == engine.backbone
    assert np.array_equal(again.features(IMAGES), engine.features(IMAGES))
    other = open_engine("mobilenet_v2", "random", engine="torch", seed=4)
    assert other.backbone.weights_sha256 != engine.backbone.weights_sha256


def test_the_engine_of_ones_own_network(tiny_backbone: Backbone) -> None:
    tiny_backbone.info = replace(tiny_backbone.info, weights_sha256="")
    engine = engine_of(tiny_backbone)
    assert isinstance(engine, TorchEngine)
    assert engine.network is tiny_backbone
    assert engine.order is None
    assert engine.backbone.weights_sha256 == build_tiny_backbone().info.weights_sha256
    assert engine_of(engine) is engine


def test_the_mode_is_switched_only_when_needed(
    tiny_backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Going through all modules takes as long as a small block; but all must be in one mode."""
    model = learning_model(TorchEngine(tiny_backbone), build_method("finetune"))
    modes: list[bool] = []
    real: Callable[[bool], AdaptedModel] = model.module.train

    def train(mode: bool) -> AdaptedModel:
        modes.append(mode)
        return real(mode)

    monkeypatch.setattr(model.module, "train", train)
    model.logits(IMAGES)
    learn(model, 2)
    assert all(layer.training for layer in model.module.adaptor.modules())
    model.logits(IMAGES)
    model.multiply_adds(IMAGES)
    assert not any(layer.training for layer in model.module.modules())
    assert modes == [True, False]


def test_random_numbers_of_the_caller_are_left_alone(engine: TorchEngine) -> None:
    before, numpy_before = torch.get_rng_state(), str(np.random.get_state())
    model = learning_model(engine, DA3())
    learn(model, 1)
    engine.forms(DA3(), 3)
    engine.load_model(DA3(), 3, model.stored(model.state())).logits(IMAGES)
    engine.features(IMAGES)
    assert torch.equal(torch.get_rng_state(), before)
    assert str(np.random.get_state()) == numpy_before
    torch.manual_seed(7)
    assert_same(learning_model(engine, DA3()).state(), engine.new_model(DA3(), 3, seed=3).state())
    other = engine.new_model(DA3(), 3, seed=4).state()
    assert any(not np.array_equal(array, other[key]) for key, array in model.state().items())


def test_a_hollow_backbone_has_shapes_only() -> None:
    backbone = build_tiny_backbone().lean()
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    hollow = hollow_backbone(backbone)
    assert all(tensor.is_meta for tensor in hollow.state_dict().values())
    assert {name: tensor.shape for name, tensor in hollow.state_dict().items()} == {
        name: tensor.shape for name, tensor in before.items()
    }
    assert all(torch.equal(backbone.state_dict()[name], before[name]) for name in before)


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the names of all operations."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", [name for name in METHODS if "finetune" not in name])
def test_shapes_are_found_without_torchs_slow_parts(engine: TorchEngine, name: str) -> None:
    """On `meta`, `zeros_like` and arithmetic import symbolic algebra: half a second, 40 MB."""
    engine.forms(Head(), 3)  # makes the hollow backbone
    with Recorder() as recorder:
        engine.forms(build_method(name), 3)
    assert recorder.names - QUICK_ON_META == set()
