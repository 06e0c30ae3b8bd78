"""What a share of recognised images is worth: class by class, and with so many images."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from addapt.engines.base import Labels

Counts = npt.NDArray[np.int64]
Z95 = 1.959964  # of the normal distribution, 95 % lie within so many standard deviations
FEW_IMAGES = 30  # below this an accuracy is told with its interval
SMALL_CLASS = 10  # below this it says little at all

# What is chance between two epochs: so many standard errors, and so many images. Five that are lost
# while none is won are 1 in 32 by a sign test, and the highest of many epochs has been lucky.
ERRORS = 2.0
IMAGES = 5.5


@dataclass(frozen=True)
class Scores:
    """How many images of each class there were, and how many of them were recognised."""

    images: Counts
    correct: Counts

    @classmethod
    def of(cls, labels: Labels, predicted: Labels, classes: int) -> "Scores":
        """Compare what images show with what they were taken for."""
        right = labels[labels == predicted]
        return cls(np.bincount(labels, minlength=classes), np.bincount(right, minlength=classes))

    @property
    def accuracy(self) -> float:
        """The share of all images that was recognised."""
        return float(self.correct.sum() / self.images.sum())

    @property
    def balanced_accuracy(self) -> float:
        """The mean of the shares of each class that has images."""
        return float(self._shares.mean())

    @property
    def balanced_images(self) -> float:
        """How many images of even classes would tell the balanced accuracy as surely.

        Each of k classes with n images has a variance of p (1 - p) / n, and their mean one of
        p (1 - p) (1 / n1 + 1 / n2 + ...) / k^2, with one p for all. That of as many images as are
        left when p (1 - p) is divided by it: all, if classes are even.
        """
        images = self.images[self._present]
        return float(len(images) ** 2 / (1 / images).sum())

    @property
    def grain(self) -> float:
        """What an image of the smallest class changes more than if classes were even.

        That is of the balanced accuracy; with even classes it is 0.
        """
        images = self.images[self._present]
        return float(1 / (len(images) * images.min()) - 1 / images.sum())

    def chance(self, highest: float) -> float:
        """Return by how much the balanced accuracy may be below the highest one of all by chance.

        Neither one image of a rare class is more than chance, nor five of all.
        """
        images = self.balanced_images
        return max(ERRORS * standard_error(highest, images), IMAGES / images) + self.grain

    @property
    def weakest(self) -> int:
        """The number of the class that was recognised worst; of equals, the one of most images."""
        order = np.lexsort((-self.images[self._present], self._shares))
        return int(self._present[order[0]])

    @property
    def _present(self) -> Counts:
        return np.flatnonzero(self.images)

    @property
    def _shares(self) -> npt.NDArray[np.float64]:
        return self.correct[self._present] / self.images[self._present]


def standard_error(accuracy: float, images: float) -> float:
    """Return the standard error of an accuracy measured on so many images.

    Two right and two wrong are added (Agresti and Coull, 1998): ten right of ten is no certainty.
    """
    expected = (accuracy * images + 2) / (images + 4)
    return math.sqrt(expected * (1 - expected) / (images + 4))


def wilson_interval(accuracy: float, images: int) -> tuple[float, float]:
    """Return where 95 % of the truth lies when so many images were recognised to this share.

    *Source:* Wilson (1927), without correction for continuity.
    """
    z2 = Z95**2 / images
    middle = (accuracy + z2 / 2) / (1 + z2)
    half = Z95 / (1 + z2) * math.sqrt(accuracy * (1 - accuracy) / images + z2 / 4 / images)
    return max(0.0, middle - half), min(1.0, middle + half)


def meaning(train_labels: Labels, val_labels: Labels, classes: Sequence[str]) -> str:
    """Say why an accuracy on images held out says little, and the way out; "" if it does not."""
    held_out = np.bincount(val_labels, minlength=len(classes))
    images = held_out + np.bincount(train_labels, minlength=len(classes))
    present = np.flatnonzero(images)
    smallest = present[images[present].argmin()]
    if images[smallest] >= SMALL_CLASS:
        return ""
    return (
        f"The accuracy says little: of the class {classes[smallest]!r} there are only "
        f"{images[smallest]} images, {held_out[smallest]} of them held out. Give at least "
        f"{SMALL_CLASS} images of each class, or more of them in a folder val."
    )
