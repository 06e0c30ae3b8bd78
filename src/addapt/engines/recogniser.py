"""What recognises images, and the arrays that go in and come out; a part of the door, `base`."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from addapt._errors import OptionError
from addapt.domains import Signature

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Logits = npt.NDArray[np.float32]
Probabilities = npt.NDArray[np.float32]
Features = npt.NDArray[np.float32]
Distances = npt.NDArray[np.float32]
State = dict[str, npt.NDArray[Any]]

ONNX_OPSET = 21  # of exported files: what runtimes since 2024 read


class Answers(NamedTuple):
    """What a model says of images: logits (n, classes), and the features (n, f) its head read."""

    logits: Logits
    features: Features


class Recogniser(ABC):
    """What tells of images which class they are: a model, or several that take turns."""

    @abstractmethod
    def logits(self, images: Images) -> Logits:
        """Compute (n, classes) of images (n, px, px, 3), all in memory at once."""

    @abstractmethod
    def answers(self, images: Images) -> Answers:
        """Compute logits, as `logits` does, and adapted features; of a model not being trained."""

    @abstractmethod
    def multiply_adds(self, images: Images) -> int:
        """Return the multiply-adds of recognising these images, with gates as they are."""

    @abstractmethod
    def use_gates(self, on: bool) -> None:
        """Let gates decide, or keep all of them open; without any nothing changes."""

    @abstractmethod
    def open_shares(self, batches: Iterable[Images]) -> tuple[tuple[float, ...], ...]:
        """Return which share of the images each gate closes and opens; see `GateReport`."""

    @abstractmethod
    def state(self) -> State:
        """Return copies of all that belongs to the domain."""

    @property
    @abstractmethod
    def trained(self) -> frozenset[str]:
        """The names in `state` that learning changes by gradients."""

    def write_onnx(
        self,
        file: Path,
        image_px: int,
        description: str,
        texts: Mapping[str, str],
        signature: Signature | None,
    ) -> Callable[[Images], tuple[Probabilities, Distances | None]]:
        """Write one ONNX file that holds all; return what computes with that very file.

        It maps `images`, bytes (n, image_px, image_px, 3) of RGB, to `probabilities` (n, classes),
        and with a signature to `distance` (n,), as `Signature.relative` says.

        Args:
            file: which is not there yet.
            image_px: side of the images.
            description: of the model, in words.
            texts: other things that the file says, by name.
            signature: of the domain, if it has one.

        Raises:
            MissingPackageError: what writes it is not installed.
            OptionError: the engine exports none, or cannot write this network.
            OSError: the disk refused.
        """
        raise OptionError('This engine cannot export domains: give `engine="onnx"`.')
