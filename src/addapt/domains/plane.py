"""How far an image's features lie from the plane of a domain's, and how far its own images lie.

Images of a domain vary in few ways, compared with all that a network's features can tell. So their
features lie close to a plane of few dimensions, and those of foreign images lie off it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

Features = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.float64]

AXES = 32
AXES_BYTES = 40_960  # of a plane; wide features get fewer axes
IMAGES_PER_AXIS = 4  # at least, as so many images tell a direction from chance
FEATURES_PER_AXIS = 4  # at least, or else nothing would lie off the plane
LEAST_DISTANCE = 1e-4
LEAST_DEVIATION = 0.01
LARGEST = 127  # of the values of axes, in bytes
USUAL_ACCEPTED = 0.95
FEW = 4  # images, below which their deviation is not believed if it is less than the usual one
USUAL_DEVIATION = 0.25


@dataclass(frozen=True)
class Spread:
    """How far images of the domain itself lie off, as seen on `images` that were held out.

    The logarithm of the distance has this `mean` and the standard `deviation`.
    """

    mean: float
    deviation: float
    images: int

    @classmethod
    def of(cls, distances: Numbers) -> "Spread":
        """Measure it on at least one image.

        One that lies much nearer than most does not say that others may lie much farther.
        """
        logs = _logarithms(np.maximum(distances, np.median(distances) / 2))
        deviation = float(logs.std(ddof=1)) if len(logs) > 1 else 0.0
        least = LEAST_DEVIATION if len(logs) >= FEW else USUAL_DEVIATION
        return cls(float(logs.mean()), max(deviation, least), len(logs))

    def limit(self, accepted: float = USUAL_ACCEPTED) -> float:
        """Return how many standard deviations above the mean this share of further images lies.

        That is the upper end of a one-sided prediction interval of the normal distribution, which
        is wider where few images were held out.
        """
        images = max(self.images, FEW)
        return student_quantile(accepted, images - 1) * math.sqrt(1 + 1 / images)

    def bar(self, accepted: float) -> float:
        """Return the relative distance up to which this share of further images lies."""
        return self.limit(accepted) / self.limit()

    def distance(self, accepted: float) -> float:
        """Return the distance from the plane up to which this share of further images lies."""
        return math.exp(self.mean + self.deviation * self.limit(accepted))

    def relative(self, distances: Numbers) -> Numbers:
        """Return distances such that 0 is usual and 1 the limit of `USUAL_ACCEPTED`."""
        found: Numbers = (_logarithms(distances) - self.mean) / (self.deviation * self.limit())
        return found


@dataclass(frozen=True)
class Plane:
    """The plane close to which the features of a domain lie.

    Args:
        centre: (f,) float16.
        axes: (k, f) int8, at right angles.
        scales: (k,) float32; an axis times its scale has length one.
    """

    centre: npt.NDArray[np.float16]
    axes: npt.NDArray[np.int8]
    scales: npt.NDArray[np.float32]

    @classmethod
    def fit(cls, features: Features) -> "Plane":
        """Lay a plane through features (n, f), by principal components."""
        directions = _directions(features)
        centre = directions.mean(0)
        width = features.shape[1]
        count = min(
            AXES,
            AXES_BYTES // width,
            len(features) // IMAGES_PER_AXIS,
            width // FEATURES_PER_AXIS,
        )
        off = (directions - centre).astype(np.float64)
        # Of n images there are n components at most: n x n is less than f x f.
        variances, mixtures = np.linalg.eigh(off @ off.T)
        largest = np.argsort(-variances)[:count]
        axes = mixtures[:, largest].T @ off
        axes /= np.maximum(np.linalg.norm(axes, axis=1, keepdims=True), LEAST_DISTANCE)
        scales = np.maximum(np.abs(axes).max(1, initial=0), LEAST_DISTANCE) / LARGEST
        return cls(
            centre.astype(np.float16),
            np.round(axes / scales[:, None]).astype(np.int8),
            scales.astype(np.float32),
        )

    def distances(self, features: Features) -> Numbers:
        """Return how far features (n, f) lie from the plane: (n,)."""
        return Planes([self]).distances(features)[:, 0]


class Planes:
    """Planes of features of one kind, which are compared with an image all at once."""

    def __init__(self, planes: Sequence[Plane]) -> None:
        self._centres = np.stack([plane.centre for plane in planes]).astype(np.float32)
        axes = [plane.axes * plane.scales[:, None] for plane in planes]
        self._axes = np.concatenate(axes).astype(np.float32)
        self._offsets = np.concatenate(
            [
                _product(own, centre[None])[:, 0]
                for own, centre in zip(axes, self._centres, strict=True)
            ]
        )
        counts = [len(own) for own in axes]
        self._plane_of_axis = np.repeat(np.arange(len(planes)), counts)

    def distances(self, features: Features) -> Numbers:
        """Return how far `features` (n, f) lie from each plane: (n, planes)."""
        directions = _directions(features)
        along = (_product(directions, self._axes) - self._offsets).astype(np.float64) ** 2
        within = np.zeros((len(features), len(self._centres)))
        np.add.at(within.T, self._plane_of_axis, along.T)
        products = _product(directions, self._centres)
        whole = (directions**2).sum(1)[:, None] - 2 * products + (self._centres**2).sum(1)
        found: Numbers = np.sqrt(np.maximum(whole - within, 0))
        return found


def student_quantile(share: float, freedom: int) -> float:
    """Return Student's t below which `share` lies, from three degrees of freedom on.

    *Source:* Abramowitz and Stegun (1964), 26.7.5, which is right to within some per cent.
    """
    z = NormalDist().inv_cdf(share)
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )


def _product(rows: npt.NDArray[Any], columns: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return rows (n, f) times columns (m, f): (n, m), without numpy's linear algebra.

    The threads of that wait busily for a while after each product, and take a part of the
    processor from the network that is run next.
    """
    found: npt.NDArray[Any] = np.einsum("nf,mf->nm", rows, columns)
    return found


def _directions(features: Features) -> Features:
    """Return the square roots of features, each image's at length one.

    Length says how much contrast there is rather than what; roots keep few large features from
    deciding alone.
    """
    roots = np.sign(features) * np.sqrt(np.abs(features))
    found: Features = roots / np.maximum(
        np.linalg.norm(roots, axis=1, keepdims=True), np.float32(LEAST_DISTANCE)
    )
    return found.astype(np.float32)


def _logarithms(distances: Numbers) -> Numbers:
    found: Numbers = np.log(np.maximum(distances, LEAST_DISTANCE))
    return found
