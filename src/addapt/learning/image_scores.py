"""What a domain said of each image of a folder: a few bytes an image, so there may be many."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
import numpy.typing as npt

from addapt._errors import OptionError
from addapt.images import Samples
from addapt.learning.calibration import answers_error


@dataclass(frozen=True, slots=True)
class ImageScore:
    """One image: the class of its folder, and what it was taken for with which probability."""

    image: Path
    label: str
    predicted: str
    probability: float

    @property
    def correct(self) -> bool:
        """Whether it was recognised."""
        return self.label == self.predicted


class ImageScores(Sequence[ImageScore]):
    """The scores of images in the order of their folder, each made when it is asked for.

    Image i of `samples` was taken for class `predicted[i]` with `probability[i]`.
    """

    def __init__(
        self,
        samples: Samples,
        classes: Sequence[str],
        predicted: npt.NDArray[np.int32],
        probability: npt.NDArray[np.float32],
    ) -> None:
        self._samples, self._classes = samples, classes
        self._predicted, self._probability = predicted, probability

    def __len__(self) -> int:
        return len(self._predicted)

    @overload
    def __getitem__(self, index: int) -> ImageScore: ...

    @overload
    def __getitem__(self, index: slice) -> "ImageScores": ...

    def __getitem__(self, index: int | slice) -> "ImageScore | ImageScores":
        if isinstance(index, slice):
            return self._select(np.arange(len(self))[index])
        sample = self._samples[index]
        return ImageScore(
            sample.path,
            self._classes[sample.label],
            self._classes[self._predicted[index]],
            float(self._probability[index]),
        )

    def confusion(self) -> npt.NDArray[np.int64]:
        """Count the images of class i that were taken for class j: (classes, classes)."""
        counts = np.zeros((len(self._classes), len(self._classes)), np.int64)
        np.add.at(counts, (self._samples.labels, self._predicted), 1)
        return counts

    def calibration_error(self) -> float:
        """Return by how much probabilities and the share of right answers differ on average."""
        return answers_error(self._probability, self._predicted == self._samples.labels)

    def mistakes(self, most: int) -> "ImageScores":
        """Return those that were not recognised, `most` at most, the most confident first.

        Raises:
            OptionError: `most` is below 1.
        """
        if most < 1:
            raise OptionError(
                f"The {most} most confident mistakes were asked for: ask for at least 1."
            )
        wrong = np.flatnonzero(self._predicted != self._samples.labels)
        order = np.argsort(-self._probability[wrong], kind="stable")
        return self._select(wrong[order[:most]])

    def _select(self, indices: npt.NDArray[np.int64]) -> "ImageScores":
        return ImageScores(
            self._samples.select(indices),
            self._classes,
            self._predicted[indices],
            self._probability[indices],
        )
