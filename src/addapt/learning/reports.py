"""What learning, predicting, evaluating and exporting give back."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from addapt.learning.image_scores import ImageScores
from addapt.learning.scores import Scores, wilson_interval


@dataclass(frozen=True)
class LearnReport:
    """A domain that was learned. `unreadable` are messages about images left out.

    `passed_over` counts images of kinds that cannot be read, by kind, and other files, by ending;
    `left_alone` are parts of the folder that learning does not use. `copies` counts images that are
    copies of others. `warnings` say what to look at, what makes the accuracy say less than it seems
    to, and what made it take longer than it need to. `extended` is what was known about the domain
    that it went on from, empty without one.
    `micro_batch` images were in memory at once. Where a budget was given, `budget_bytes` is
    that, and `process_peak_bytes` the most the process has held since it began (None off Linux).
    `gates` is what the domain's file says about its gates, empty without any; `value_range` the
    grey values deeper than 8 bits that become 0 and 255, empty if there are none; `val_report` what
    the file says about the images held out besides the accuracy: its interval of 95 %, the balanced
    accuracy, the weakest class and, where all that says little, why. `balance` says whether rare
    classes were given more weight.
    """

    name: str
    method: str
    engine: str
    classes: tuple[str, ...]
    train_images: int
    val_images: int
    val_accuracy: float
    epochs: int
    best_epoch: int
    image_px: int
    flip: bool
    file: Path
    file_bytes: int
    learn_s: float
    unreadable: tuple[str, ...]
    micro_batch: int
    val_report: dict[str, Any] = field(default_factory=dict)
    balance: bool = False
    copies: int = 0
    gates: dict[str, Any] = field(default_factory=dict)
    value_range: tuple[float, ...] = ()
    budget_bytes: int | None = None
    process_peak_bytes: int | None = None
    warnings: tuple[str, ...] = ()
    passed_over: dict[str, int] = field(default_factory=dict)
    left_alone: tuple[str, ...] = ()
    extended: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of one image, best first; `gated`: whether its gates decided.

    `image` is the file or, of an image that is none, its number among those given, from 0 on.
    """

    image: Path | int
    label: str
    probability: float
    top: tuple[tuple[str, float], ...]
    gated: bool = False


@dataclass(frozen=True)
class Recognition:
    """Which domain an image is of, and what it shows.

    `domain`, `label` and `probability` are None if it is none of these. Then too `nearest` is the
    domain that comes nearest, and `top` what that says, its most probable classes first. `distance`
    is how far the image is from the images of that domain: 0 is usual for its own, and above
    `limit` it is refused; None without a signature, or where nothing is to be refused. `looks` says
    how far it is from each of several domains at the first, shared look, and `distances` what
    `distance` is by each domain that was asked. `image` and `gated` are as in `Prediction`.
    """

    image: Path | int
    domain: str | None
    label: str | None
    probability: float | None
    nearest: str
    top: tuple[tuple[str, float], ...]
    distance: float | None
    limit: float | None
    looks: dict[str, float] = field(default_factory=dict)
    distances: dict[str, float | None] = field(default_factory=dict)
    gated: bool = False


@dataclass(frozen=True)
class IndexReport:
    """A domain that was given a signature, `images` of which were held out to measure it on."""

    domain: str
    file: Path
    file_bytes: int
    images: int
    warnings: tuple[str, ...]
    unreadable: tuple[str, ...]


@dataclass(frozen=True)
class ClassScore:
    """How one class did: `accuracy` is the share of its images that were recognised."""

    label: str
    images: int
    correct: int
    accuracy: float | None


@dataclass(frozen=True)
class Evaluation:
    """A domain's accuracy on a folder; `confusion[i, j]` counts images of i taken for j.

    `per_image` says what was recognised in each image that could be read. `copies` counts images
    that are copies of others in it. `accepted` is the share of the images that would not be refused
    as foreign, None without a signature. `passed_over`, `warnings` and `value_range` are as in
    `LearnReport`.
    """

    domain: str
    accuracy: float
    images: int
    per_class: tuple[ClassScore, ...]
    per_image: ImageScores
    confusion: npt.NDArray[np.int64]
    unreadable: tuple[str, ...]
    gated: bool = False
    copies: int = 0
    passed_over: dict[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    value_range: tuple[float, ...] = ()
    accepted: float | None = None

    @property
    def calibration_error(self) -> float:
        """By how much probabilities and the share of right answers differ on average."""
        return self.per_image.calibration_error()

    @property
    def balanced_accuracy(self) -> float:
        """The mean of the accuracies of all classes that have images."""
        return self._scores.balanced_accuracy

    @property
    def weakest(self) -> ClassScore:
        """The class of lowest accuracy."""
        return self.per_class[self._scores.weakest]

    @property
    def interval(self) -> tuple[float, float]:
        """Between what the accuracy on all images of this kind lies, with 95 % certainty."""
        return wilson_interval(self.accuracy, self.images)

    @property
    def _scores(self) -> Scores:
        counts = np.array([(score.images, score.correct) for score in self.per_class], np.int64)
        return Scores(counts[:, 0], counts[:, 1])

    def mistakes(self, most: int) -> ImageScores:
        """Return the most confident mistakes, `most` at most: where labels are wrong they come up.

        Raises:
            OptionError: `most` is below 1.
        """
        return self.per_image.mistakes(most)


@dataclass(frozen=True)
class ExportReport:
    """A domain as an ONNX file. `difference` is the largest of the probabilities compared."""

    domain: str
    file: Path
    file_bytes: int
    classes: tuple[str, ...]
    image_px: int
    interpolation: str
    difference: float
