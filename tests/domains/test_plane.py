"""The plane of a domain's features: what lies on it, what lies off it, and how sure that is."""

import numpy as np
import numpy.typing as npt
import pytest

from addapt.domains.plane import AXES, FEW, USUAL_DEVIATION, Plane, Planes, Spread, student_quantile

FEATURES = 200


def features(images: int, seed: int, kind: int = 0) -> npt.NDArray[np.float32]:
    """Return features that vary in six ways, which are others for each kind, and a little noise."""
    ways = np.random.default_rng(kind).uniform(0, 1, (6, FEATURES))
    rng = np.random.default_rng(seed)
    varied = rng.uniform(0, 1, (images, 6)) @ ways + rng.uniform(0, 0.4, (images, FEATURES))
    return np.asarray(varied, np.float32)


def plain_distances(
    fitted: npt.NDArray[np.float32], asked: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """Return how far off the principal components lie, computed as a textbook does."""

    def directions(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        roots = np.sqrt(x.astype(np.float64))
        return np.asarray(roots / np.linalg.norm(roots, axis=1, keepdims=True), np.float64)

    centre = directions(fitted).mean(0)
    _, _, axes = np.linalg.svd(directions(fitted) - centre, full_matrices=False)
    off = directions(asked) - centre
    count = min(AXES, len(fitted) // 4, FEATURES // 4)
    left = off - off @ axes[:count].T @ axes[:count]
    return np.asarray(np.sqrt((left**2).sum(1)), np.float64)


@pytest.mark.parametrize("images", [4, 30, 300])
def test_the_distance_is_that_from_the_principal_components(images: int) -> None:
    fitted = features(images, 1)
    for asked in (features(20, 2), features(20, 3, kind=1)):
        found = Plane.fit(fitted).distances(asked)
        np.testing.assert_allclose(found, plain_distances(fitted, asked), rtol=0.03)


def test_many_planes_at_once_are_each_of_them() -> None:
    planes = [Plane.fit(features(n, n, kind=n)) for n in (1, 9, 80)]
    asked = features(5, 0)
    together = Planes(planes).distances(asked)
    assert together.shape == (5, 3)
    for column, plane in zip(together.T, planes, strict=True):
        np.testing.assert_allclose(column, plane.distances(asked), rtol=1e-4)


def test_contrast_does_not_count() -> None:
    plane, asked = Plane.fit(features(50, 1)), features(5, 2)
    np.testing.assert_allclose(plane.distances(3 * asked), plane.distances(asked), rtol=1e-3)


def test_own_images_are_accepted_as_asked_and_foreign_ones_are_not() -> None:
    plane = Plane.fit(features(300, 1))
    spread = Spread.of(plane.distances(features(400, 2)))
    own = spread.relative(plane.distances(features(2000, 3)))
    foreign = spread.relative(plane.distances(features(200, 4, kind=1)))
    for accepted in (0.8, 0.95, 0.99):
        assert abs((own <= spread.bar(accepted)).mean() - accepted) < 0.03
    assert spread.bar(0.95) == 1
    assert foreign.min() > own.max() > 1


def test_few_images_widen_the_limit() -> None:
    few, many = (Spread(0, 0.1, images) for images in (5, 500))
    assert few.limit() > 1.2 * many.limit()
    assert Spread(0, 0.1, 1).limit() == Spread(0, 0.1, FEW).limit()
    assert Spread.of(np.array([0.3])).deviation == USUAL_DEVIATION
    assert Spread.of(np.array([0.3, 0.3])).deviation == USUAL_DEVIATION
    # Equal images are no reason to refuse everything else.
    assert 0 < Spread.of(np.full(100, 0.3)).deviation < 0.1
    assert np.isfinite(Spread.of(np.zeros(3)).relative(np.zeros(2))).all()


@pytest.mark.parametrize(
    ("share", "freedom", "expected"),
    [(0.95, 3, 2.353), (0.95, 9, 1.833), (0.99, 5, 3.365), (0.99, 99, 2.365), (0.5, 7, 0)],
)
def test_student_quantile(share: float, freedom: int, expected: float) -> None:
    assert student_quantile(share, freedom) == pytest.approx(expected, rel=0.03, abs=1e-9)


def test_whatever_features_there_are_a_plane_is_finite() -> None:
    rng = np.random.default_rng(0)
    for odd in (np.zeros((8, 40)), np.ones((1, 40)), rng.normal(size=(12, 7)), np.full((9, 3), 6)):
        plane = Plane.fit(odd.astype(np.float32))
        assert np.isfinite(plane.distances(odd.astype(np.float32))).all()
        assert np.isfinite(plane.centre).all() and np.isfinite(plane.scales).all()


@pytest.mark.parametrize("width", [512, 1280, 2048, 4096])
def test_two_planes_take_less_than_100_kb(width: int) -> None:
    rng = np.random.default_rng(0)
    plane = Plane.fit(rng.uniform(0, 1, (200, width)).astype(np.float32))
    assert 2 * (plane.centre.nbytes + plane.axes.nbytes + plane.scales.nbytes) < 100_000
    assert len(plane.axes) >= 10
