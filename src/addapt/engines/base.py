"""The door: all that the product asks of what computes.

Above it there is numpy: images are bytes (n, px, px, 3) of values 0..255, labels whole numbers, and
a domain's tensors are arrays by name. What an engine makes of these inside is its own affair.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy.typing as npt

from addapt._errors import OptionError
from addapt.backbones import BackboneInfo
from addapt.engines.abilities import Abilities
from addapt.engines.recogniser import (
    Answers,
    Distances,
    Features,
    Images,
    Labels,
    Logits,
    Probabilities,
    Recogniser,
    State,
)
from addapt.gates import GateConfig
from addapt.memory import ProcessPeak, measure_process_peak, rss_bytes
from addapt.methods import Method

__all__ = [
    "Answers",
    "Distances",
    "Engine",
    "Features",
    "Form",
    "Images",
    "Labels",
    "Logits",
    "Model",
    "ModelGates",
    "Probabilities",
    "Recogniser",
    "State",
    "StepSettings",
]

Form = tuple[str, tuple[int, ...]]  # numpy's name of a type, and a shape


@dataclass(frozen=True)
class StepSettings:
    """How a model learns: `lr` and `backbone_lr` are peak rates, see `Recipe`."""

    lr: float
    backbone_lr: float = 0.0
    weight_decay: float = 0.0
    label_smoothing: float = 0.0


class ModelGates(ABC):
    """The gates of a model. Batches are gone through more than once.

    While `active` they decide; otherwise all are open and the model is the ungated one.
    """

    active: bool
    config: GateConfig

    @property
    @abstractmethod
    def rescues(self) -> int:
        """How often in training almost all gates were closed, or open, and were set anew."""

    @abstractmethod
    def measure(self, batches: Iterable[Images]) -> None:
        """Before training, find on some of the domain's images what can be left out.

        Raises:
            OptionError: not so much can be left out as is asked for.
        """

    @abstractmethod
    def refit(self, batches: Iterable[Images]) -> None:
        """Before an epoch, fit the gates to what was learned so far."""

    @abstractmethod
    def settle(self, batches: Iterable[Images]) -> None:
        """After training, meet the share of compute that is asked for, on images held out."""

    @abstractmethod
    def open_shares(self, batches: Iterable[Images]) -> tuple[tuple[float, ...], ...]:
        """Return which share of the images each gate closes and opens; see `GateReport`."""


class Model(Recogniser):
    """A shared backbone with one domain's tensors: it learns and it recognises."""

    gates: ModelGates | None = None

    def use_gates(self, on: bool) -> None:
        """Switch those that are part of it."""
        if self.gates is not None:
            self.gates.active = on

    def open_shares(self, batches: Iterable[Images]) -> tuple[tuple[float, ...], ...]:
        """Ask those that are part of it."""
        return () if self.gates is None else self.gates.open_shares(batches)

    @abstractmethod
    def prepare(self, settings: StepSettings) -> None:
        """Make the optimiser; called once, before the first `step`."""

    @abstractmethod
    def step(self, images: Images, labels: Labels, *, batch: int) -> float:
        """Add the gradient of a micro-batch to those gathered; return its share of the loss.

        Args:
            images: (k, px, px, 3).
            labels: (k,).
            batch: images of the whole batch, over which the loss is the mean.
        """

    @abstractmethod
    def update(self, share: float) -> None:
        """Change the domain by the gradients gathered, at a share of the peak rate; forget them."""

    def rest(self) -> None:  # noqa: B027  # mostly there is nothing
        """Let go of what steps need and can be made again."""

    @abstractmethod
    def load_state(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take over what `state` gave."""

    @abstractmethod
    def optimiser_state(self) -> State:
        """Return "NAME.step", "NAME.exp_avg" and "NAME.exp_avg_sq" of all `trained`.

        They may change with the next step. Those that have had no gradient yet are left out.
        """

    @abstractmethod
    def load_optimiser_state(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take over what `optimiser_state` gave, after `prepare`."""

    @abstractmethod
    def stored(self, state: Mapping[str, npt.NDArray[Any]]) -> State:
        """Return a state as the domain's file keeps it, which may be smaller."""


class Engine(ABC):
    """What computes: one backbone, whose models share its weights.

    Args:
        threads: of the processor; None where the device has no such thing.
    """

    name: ClassVar[str]
    keeps_memory: ClassVar[bool] = False  # for the next step, whatever the C library does

    @property
    @abstractmethod
    def backbone(self) -> BackboneInfo:
        """What the backbone is, its weights' hash included."""

    @property
    @abstractmethod
    def abilities(self) -> Abilities:
        """What this engine can do."""

    @property
    @abstractmethod
    def device(self) -> str:
        """Where it computes, such as "cpu"."""

    @property
    @abstractmethod
    def threads(self) -> int:
        """The processor threads it computes with."""

    @threads.setter
    @abstractmethod
    def threads(self, threads: int) -> None: ...

    @property
    @abstractmethod
    def versions(self) -> dict[str, str]:
        """The versions of the libraries that compute."""

    @property
    @abstractmethod
    def weights_bytes(self) -> int:
        """The bytes of the backbone's weights."""

    @property
    def order(self) -> dict[str, Any] | None:
        """What `open_engine` takes to make the same engine in another process; None if nothing."""
        return None

    @abstractmethod
    def features(self, images: Images) -> Features:
        """Compute the frozen backbone's features (n, features) of images."""

    @abstractmethod
    def multiply_adds(self, px: int) -> int:
        """Return the multiply-adds of the backbone alone for one image of `px`."""

    @abstractmethod
    def new_model(
        self, method: Method, classes: int, *, seed: int, gates: GateConfig | None = None
    ) -> Model:
        """Make a model that has learned nothing yet; the same seed makes the same one.

        Raises:
            OptionError: the engine, the backbone or the method cannot do that.
        """

    @abstractmethod
    def forms(
        self, method: Method, classes: int, gates: GateConfig | None = None
    ) -> Mapping[str, Form]:
        """Return types and shapes of all that a domain's file keeps, computing nothing.

        Raises:
            AddaptError: there can be no such model.
        """

    @abstractmethod
    def load_model(
        self,
        method: Method,
        classes: int,
        stored: Mapping[str, npt.NDArray[Any]],
        gates: GateConfig | None = None,
    ) -> Model:
        """Make the model of a domain from what its file keeps, which has the right `forms`.

        Raises:
            DomainError: values that the model cannot have.
        """

    def at_once(self, image_px: int, batch: int) -> int:
        """Return how many images of a batch to have in memory at once unless memory is short.

        All of them, mostly: that is quicker.
        """
        return batch

    def release(self) -> None:  # noqa: B027  # mostly there is nothing
        """Let go of what is kept to be quicker, and can be made again."""

    def held_bytes(self) -> int | None:
        """Return the memory held now where this engine computes; None if it cannot be told."""
        return rss_bytes()

    def measure_peak(self, work: Callable[[], object]) -> ProcessPeak:
        """Run `work` and return the most memory that it took above what was held before."""
        return measure_process_peak(work)

    def require(self, method: Method, gates: GateConfig | None) -> None:
        """Refuse what this engine cannot do.

        Raises:
            OptionError: that is so.
        """
        lack = self.abilities.lack(method=method.name, gates=gates)
        if lack is not None:
            raise OptionError(f"The engine {self.name!r} has no {lack}")
