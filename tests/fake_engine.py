"""The smallest engine there can be: a linear layer on the colours of a coarse image, in numpy."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from addapt._errors import DomainError
from addapt.backbones import BackboneInfo, InputInfo
from addapt.engines.abilities import TORCH, Abilities
from addapt.engines.base import (
    Answers,
    Engine,
    Form,
    Images,
    Labels,
    Logits,
    Model,
    ModelGates,
    State,
    StepSettings,
)
from addapt.gates import BLOCKS, GateConfig
from addapt.learning.evaluation import softmax
from addapt.methods import Method

FEATURES = 12
MULTIPLY_ADDS = 100  # of a pixel
BETA1, BETA2, EPS = 0.9, 0.999, 1e-8


class FakeEngine(Engine):
    """Features are the mean colours of an image's quarters; what is trained is the head."""

    name = "fake"

    def __init__(self, weights_sha256: str = "f" * 64) -> None:
        self._info = BackboneInfo(
            name="fake",
            input=InputInfo(32, (0.5,) * 3, (0.5,) * 3, "bilinear"),
            features=FEATURES,
            blocks=(),
            weights="none",
            weights_sha256=weights_sha256,
        )
        self._threads = 1
        self.loaded = 0

    @property
    def backbone(self) -> BackboneInfo:
        return self._info

    @property
    def abilities(self) -> Abilities:
        return Abilities(("head",), ("fake",), ("cpu",), TORCH.gates)

    @property
    def device(self) -> str:
        return "cpu"

    @property
    def threads(self) -> int:
        return self._threads

    @threads.setter
    def threads(self, threads: int) -> None:
        self._threads = threads

    @property
    def versions(self) -> dict[str, str]:
        return {"fake": "1"}

    @property
    def weights_bytes(self) -> int:
        return 0

    def features(self, images: Images) -> npt.NDArray[np.float32]:
        n, side = len(images), images.shape[1]
        half = side // 2
        quarters = images[:, : 2 * half, : 2 * half].reshape(n, 2, half, 2, half, 3)
        means: npt.NDArray[np.float64] = quarters.mean((2, 4)).reshape(n, FEATURES)
        return (means / 255 - 0.5).astype(np.float32)

    def multiply_adds(self, px: int) -> int:
        return MULTIPLY_ADDS * px * px

    def new_model(
        self, method: Method, classes: int, *, seed: int, gates: GateConfig | None = None
    ) -> "FakeModel":
        return FakeModel(self, classes, gates)

    def forms(
        self, method: Method, classes: int, gates: GateConfig | None = None
    ) -> Mapping[str, Form]:
        state = FakeModel(self, classes, gates).state()
        return {name: (array.dtype.name, array.shape) for name, array in state.items()}

    def load_model(
        self,
        method: Method,
        classes: int,
        stored: Mapping[str, npt.NDArray[Any]],
        gates: GateConfig | None = None,
    ) -> "FakeModel":
        self.loaded += 1
        model = FakeModel(self, classes, gates)
        model.load_state(stored)
        return model


class FakeModel(Model):
    """Softmax regression by Adam."""

    def __init__(self, engine: FakeEngine, classes: int, gates: GateConfig | None) -> None:
        self.engine = engine
        self._state: State = {
            "head.weight": np.zeros((classes, FEATURES), np.float32),
            "head.bias": np.zeros(classes, np.float32),
        }
        if gates is not None and gates.unit == BLOCKS:
            self._state["gates.price"] = np.zeros((), np.float32)
            self.gates = FakeGates(self, gates)
        self._gradients: State = {}
        self._moments: State = {}

    def prepare(self, settings: StepSettings) -> None:
        self._settings = settings

    def step(self, images: Images, labels: Labels, *, batch: int) -> float:
        x = self.engine.features(images)
        probabilities = softmax(self._logits(x))
        loss = -np.log(probabilities[np.arange(len(labels)), labels]).sum() / batch
        error = probabilities.copy()
        error[np.arange(len(labels)), labels] -= 1
        error /= batch
        for name, gradient in (("head.weight", error.T @ x), ("head.bias", error.sum(0))):
            self._gradients[name] = self._gradients.get(name, 0) + gradient
        return float(loss)

    def update(self, share: float) -> None:
        for name, gradient in self._gradients.items():
            before = self._moments
            step = before.get(f"{name}.step", np.zeros((), np.float32)) + np.float32(1)
            first = before.get(f"{name}.exp_avg", 0 * gradient)
            second = before.get(f"{name}.exp_avg_sq", 0 * gradient)
            first = (BETA1 * first + (1 - BETA1) * gradient).astype(np.float32)
            second = (BETA2 * second + (1 - BETA2) * gradient**2).astype(np.float32)
            self._moments |= {
                f"{name}.step": np.asarray(step, np.float32),
                f"{name}.exp_avg": first,
                f"{name}.exp_avg_sq": second,
            }
            change = first / (1 - BETA1**step) / (np.sqrt(second / (1 - BETA2**step)) + EPS)
            rate = np.float32(share * self._settings.lr * 30)
            self._state[name] = (self._state[name] - rate * change).astype(np.float32)
        self._gradients = {}

    def logits(self, images: Images) -> Logits:
        return self._logits(self.engine.features(images))

    def answers(self, images: Images) -> Answers:
        features = self.engine.features(images)
        return Answers(self._logits(features), features)

    def _logits(self, x: npt.NDArray[np.float32]) -> Logits:
        logits: Logits = x @ self._state["head.weight"].T + self._state["head.bias"]
        return logits

    def state(self) -> State:
        return {name: array.copy() for name, array in self._state.items()}

    def load_state(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        if not np.isfinite(state["head.weight"]).all():
            raise DomainError("not finite")
        self._state = {name: np.array(array) for name, array in state.items()}

    @property
    def trained(self) -> frozenset[str]:
        return frozenset({"head.weight", "head.bias"})

    def optimiser_state(self) -> State:
        return {name: array.copy() for name, array in self._moments.items()}

    def load_optimiser_state(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        self._moments = {name: np.array(array) for name, array in state.items()}

    def stored(self, state: Mapping[str, npt.NDArray[Any]]) -> State:
        return dict(state)

    def multiply_adds(self, images: Images) -> int:
        closed = self.gates is not None and self.gates.active
        return int(
            len(images) * self.engine.multiply_adds(images.shape[1]) * (0.5 if closed else 1)
        )


class FakeGates(ModelGates):
    """Gates that leave out half of everything and change nothing else."""

    def __init__(self, model: FakeModel, config: GateConfig) -> None:
        self.config = config
        self.active = True
        self.calls: list[str] = []
        self._model = model

    @property
    def rescues(self) -> int:
        return 0

    def measure(self, batches: Iterable[Images]) -> None:
        self._note("measure", batches)

    def refit(self, batches: Iterable[Images]) -> None:
        self._note("refit", batches)

    def settle(self, batches: Iterable[Images]) -> None:
        self._note("settle", batches)
        self._model._state["gates.price"] = np.ones((), np.float32)

    def open_shares(self, batches: Iterable[Images]) -> tuple[tuple[float, ...], ...]:
        return ((0.5, 0.5),)

    def _note(self, call: str, batches: Iterable[Images]) -> None:
        assert len(list(batches)) == len(list(batches)) > 0
        self.calls.append(call)
