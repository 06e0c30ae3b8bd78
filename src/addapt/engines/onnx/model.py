"""A model of this engine: vectors of trained values, and the sessions that compute with them."""

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from addapt.domains import Signature
from addapt.engines.base import (
    Answers,
    Distances,
    Images,
    Labels,
    Logits,
    Model,
    Probabilities,
    State,
    StepSettings,
)
from addapt.engines.onnx import step as names
from addapt.engines.onnx.adamw import AdamW
from addapt.engines.onnx.adaptor import Adaptor
from addapt.engines.onnx.distance import distance_arrays
from addapt.engines.onnx.exporting import ExportOrder
from addapt.engines.onnx.graph import IMAGES
from addapt.engines.onnx.parameters import Parameter, Vector, join_vector, split_vector
from addapt.engines.onnx.runtime import Runtime
from addapt.engines.onnx.session import Session
from addapt.methods import Method

# What learning takes at most, about: one image of 224 px, or two of the smallest size that is
# chosen for a domain, one for each of two threads.
PIXELS_AT_ONCE = 2 * 160 * 160
SIDE_BY_SIDE = 2  # pieces of a micro-batch, with any threads: learning is the same with one and two


Values = TypeVar("Values", bound=np.generic)


def images_at_once(image_px: int) -> int:
    """Return how many images go through the network together: more only take more memory."""
    return max(1, PIXELS_AT_ONCE // image_px**2)


def in_pieces(array: npt.NDArray[Values], most: int) -> list[npt.NDArray[Values]]:
    """Split images, or what belongs to each, into equal pieces of at most so many."""
    return np.array_split(array, math.ceil(len(array) / most)) if len(array) else []


def rows(parts: Iterable[list[Vector]], width: int) -> Vector:
    """Join the rows (n, width) that runs gave as their only output."""
    return np.concatenate([np.zeros((0, width), np.float32), *(part for (part,) in parts)])


class OnnxModel(Model):
    """One domain on an engine's frozen network.

    Args:
        runtime: the frozen network and its sessions.
        method: how it adapts.
        adaptor: that method, spelt out for the network.
        classes: outputs of the head.
        values: all trained values, the adaptor's first, then the head's.
    """

    def __init__(
        self, runtime: Runtime, method: Method, adaptor: Adaptor, classes: int, values: Vector
    ) -> None:
        self._runtime, self._method = runtime, method
        self._parameters = domain_parameters(adaptor, classes)
        self._classes, self._width = classes, adaptor.network.info.features
        self._values = values
        self._arrays = self._split(values)
        self._optimiser: AdamW | None = None
        self._learning: Session | None = None

    def prepare(self, settings: StepSettings) -> None:
        """Make AdamW for all values; the session is made with the first image."""
        self._optimiser = AdamW(self._values.size, settings.lr, settings.weight_decay)
        self._label_smoothing = settings.label_smoothing
        self._gradient = np.zeros_like(self._values)
        self._runtime.release()  # what only recognises makes room

    def step(self, images: Images, labels: Labels, *, batch: int) -> float:
        """Run the graph of learning and gather its gradients."""
        targets = np.full(
            (len(labels), self._classes), self._label_smoothing / self._classes, np.float32
        )
        targets[np.arange(len(labels)), labels] += np.float32(1 - self._label_smoothing)
        most = math.ceil(len(images) / SIDE_BY_SIDE)
        runs = [
            {
                **self._inputs(few),
                names.TARGETS: few_targets,
                names.SCALE: np.array(1 / batch, np.float32),
            }
            for few, few_targets in zip(
                in_pieces(images, most), in_pieces(targets, most), strict=True
            )
        ]
        outputs = [names.LOSS, *(names.of_parameter(p.name) for p in self._parameters)]
        total = 0.0
        for loss, *gradients in self._learning_session(images).run_each(outputs, runs):
            start = 0
            for gradient in gradients:
                piece = gradient.reshape(-1)
                self._gradient[start : start + piece.size] += piece
                start += piece.size
            total += float(loss)
        return total

    def update(self, share: float) -> None:
        """Make a step of AdamW."""
        assert self._optimiser is not None, "prepare() comes before steps"
        self._optimiser.step(self._values, self._gradient, share)
        self._gradient.fill(0)

    def rest(self) -> None:
        """Let go of the session."""
        self._learning = None

    def logits(self, images: Images) -> Logits:
        """Run few images at once through the session at hand."""
        most = images_at_once(images.shape[1])
        if self._optimiser is None:
            session = self._runtime.session(self._method, images.shape[1])
        else:  # another session would take the memory of another network
            session = self._learning_session(images)
            most = math.ceil(most / SIDE_BY_SIDE)
        runs = [
            {**self._inputs(few), **self._no_targets(len(few))} for few in in_pieces(images, most)
        ]
        return rows(session.run_each([names.LOGITS], runs), self._classes)

    def answers(self, images: Images) -> Answers:
        """Run few images at once through the session that recognises."""
        session = self._runtime.session(self._method, images.shape[1])
        runs = [self._inputs(few) for few in in_pieces(images, images_at_once(images.shape[1]))]
        both = session.run_each([names.LOGITS, names.FEATURES], runs)
        joined = rows(([np.hstack(outputs)] for outputs in both), self._classes + self._width)
        return Answers(joined[:, : self._classes], joined[:, self._classes :])

    def state(self) -> State:
        """Copy all values, by name."""
        return {name: array.copy() for name, array in self._arrays.items()}

    def load_state(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Copy arrays over the values."""
        self._values[:] = join_vector(self._parameters, state)

    @property
    def trained(self) -> frozenset[str]:
        """All names."""
        return frozenset(parameter.name for parameter in self._parameters)

    def optimiser_state(self) -> State:
        """Return the averages of AdamW: they change with the next step."""
        optimiser = self._optimiser
        if optimiser is None or not optimiser.steps:
            return {}
        found: State = {}
        averages = {
            "exp_avg": self._split(optimiser.average),
            "exp_avg_sq": self._split(optimiser.square_average),
        }
        for parameter in self._parameters:
            found[f"{parameter.name}.step"] = np.array(optimiser.steps, np.float32)
            for key, arrays in averages.items():
                found[f"{parameter.name}.{key}"] = arrays[parameter.name]
        return found

    def load_optimiser_state(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Copy arrays over the averages of AdamW."""
        optimiser = self._optimiser
        assert optimiser is not None, "prepare() comes before states of the optimiser"
        if not state:
            return
        optimiser.steps = int(state[f"{self._parameters[0].name}.step"])
        for key, vector in (
            ("exp_avg", optimiser.average),
            ("exp_avg_sq", optimiser.square_average),
        ):
            arrays = {p.name: state[f"{p.name}.{key}"] for p in self._parameters}
            vector[:] = join_vector(self._parameters, arrays)

    def stored(self, state: Mapping[str, npt.NDArray[Any]]) -> State:
        """Return the state itself: the file keeps all."""
        return dict(state)

    def multiply_adds(self, images: Images) -> int:
        """Count those of the network; what an adaptor adds is a few percent."""
        return len(images) * self._runtime.multiply_adds(images.shape[1])

    def write_onnx(
        self,
        file: Path,
        image_px: int,
        description: str,
        texts: Mapping[str, str],
        signature: Signature | None,
    ) -> Callable[[Images], tuple[Probabilities, Distances | None]]:
        """Have the file made in a process of its own, and open it."""
        export = ExportOrder(description, dict(texts))
        arrays, outputs = dict(self._arrays), [names.PROBABILITIES]
        if signature is not None:
            arrays |= distance_arrays(signature)
            outputs.append(names.DISTANCE)
        session = self._runtime.export(file, self._method, image_px, export, arrays)

        def compute(images: Images) -> tuple[Probabilities, Distances | None]:
            probabilities, *distance = session.run(outputs, {IMAGES: images})
            return probabilities, distance[0] if distance else None

        return compute

    def _split(self, vector: Vector) -> dict[str, Vector]:
        return split_vector(self._parameters, vector)

    def _inputs(self, images: Images) -> dict[str, npt.NDArray[Any]]:
        return {IMAGES: images, **self._arrays}

    def _no_targets(self, images: int) -> dict[str, npt.NDArray[Any]]:
        """Return what a graph of learning asks for beside images, where only logits matter."""
        if self._optimiser is None:
            return {}
        targets = np.zeros((images, self._classes), np.float32)
        return {names.TARGETS: targets, names.SCALE: np.ones((), np.float32)}

    def _learning_session(self, images: Images) -> Session:
        if self._learning is None:
            side_by_side = min(len(images), SIDE_BY_SIDE)
            self._learning = self._runtime.learning_session(
                self._method, images.shape[1], side_by_side
            )
        return self._learning


def domain_parameters(adaptor: Adaptor, classes: int) -> tuple[Parameter, ...]:
    """Return all that belongs to a domain: the adaptor's parameters, then the head's."""
    features = adaptor.network.info.features
    weight = Parameter(names.HEAD_WEIGHT, (classes, features))
    return (*adaptor.parameters, weight, Parameter(names.HEAD_BIAS, (classes,)))
