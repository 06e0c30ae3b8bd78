"""What is believed of another machine's arrays, and how far one device may move all."""

from typing import Any

import numpy as np
import pytest

from addapt._errors import FleetError
from addapt.fleet.updates import check_images, check_state, clipped, distance, usual

FORMS = {"head.weight": ("float32", (2, 3)), "head.bias": ("float32", (2,))}


def state(**changes: Any) -> dict[str, Any]:
    whole = {"head.weight": np.ones((2, 3), np.float32), "head.bias": np.zeros(2, np.float32)}
    return whole | {name.replace("_", "."): array for name, array in changes.items()}


def test_what_belongs_to_the_domain_is_taken() -> None:
    check_state(state(), FORMS)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"head.bias": np.zeros(2, np.float32)},
        state(more=np.zeros(2, np.float32)),
        state(head_bias=np.zeros(3, np.float32)),
        state(head_bias=np.zeros((2, 1), np.float32)),
        state(head_bias=np.zeros(2, np.float64)),
        state(head_bias=np.zeros(2, ">f4")),
        state(head_bias=np.array([0, np.nan], np.float32)),
        state(head_bias=np.array([0, -np.inf], np.float32)),
    ],
)
def test_other_arrays_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(FleetError, match="it sent"):
        check_state(wrong, FORMS)


@pytest.mark.parametrize("images", [0, -1, 11, True, 5.0, "5", None, [5]])
def test_numbers_of_images_that_cannot_be_are_refused(images: object) -> None:
    with pytest.raises(FleetError, match="images"):
        check_images(images, 10)
    assert check_images(10, 10) == 10


def test_a_long_update_keeps_its_direction_and_gets_the_length_that_is_allowed() -> None:
    start, sent = state(), state(head_bias=np.array([30, 40], np.float32))
    short = clipped(sent, start, 5.0)
    assert distance(sent, start) == 50
    assert distance(short, start) == pytest.approx(5)
    np.testing.assert_allclose(short["head.bias"], [3, 4], rtol=1e-6)
    assert short["head.bias"].dtype == np.float32


@pytest.mark.parametrize("limit", [50.0, 60.0, float("inf")])
def test_an_update_of_usual_length_stays_as_it_is(limit: float) -> None:
    sent = state(head_bias=np.array([30, 40], np.float32))
    short = clipped(sent, state(), limit)
    assert all(np.array_equal(short[name], sent[name]) for name in sent)


def test_where_nothing_was_learned_nothing_changes() -> None:
    assert np.array_equal(clipped(state(), state(), 0.0)["head.weight"], state()["head.weight"])


@pytest.mark.parametrize(
    ("values", "middle"), [([3.0], 3), ([1, 100], 1), ([5, 1, 900], 5), ([1, 2, 3, 99], 2)]
)
def test_usual_is_what_a_single_device_cannot_decide(values: list[float], middle: float) -> None:
    assert usual(values) == middle
