"""What devices and a server agree on, and what neither takes from the other."""

import json
from typing import Any

import pytest

from addapt._errors import FleetError
from addapt.fleet.plan import Offer, Plan, agree_on_classes, agree_on_size, lacking
from addapt.methods import build_method

OFFER = Offer({"rose": 3, "tulip": 5}, 160, "efficientnet_lite0", "f" * 64)
PLAN = Plan("flowers", ("rose", "tulip"), build_method("da3"), 160, 20, 0, "resnet18", "f" * 64)


def test_texts_are_read_as_they_were_written() -> None:
    assert Offer.from_text(OFFER.to_text()) == OFFER
    assert Plan.from_text(PLAN.to_text()) == PLAN


@pytest.mark.parametrize(
    "change",
    [
        {"images": {}},
        {"images": ["rose"]},
        {"images": {"rose": 0}},
        {"images": {"rose": -1}},
        {"images": {"rose": True}},
        {"images": {"rose": 1e9}},
        {"images": {"rose": 10**12}},
        {"images": {"r" * 300: 1}},
        {"image_px": 10**9},
        {"image_px": "160"},
        {"image_px": None},
        {"backbone": None},
        {"weights_sha256": ["f"]},
        {"more": 1},
    ],
)
def test_an_offer_that_makes_no_sense_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(FleetError, match="makes no sense"):
        Offer.from_text(json.dumps(json.loads(OFFER.to_text()) | change))


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../flowers"},
        {"name": 1},
        {"classes": []},
        {"classes": ["rose", "rose"]},
        {"classes": [1, 2]},
        {"classes": "rose"},
        {"classes": None},
        {"method": ["nonsense", {}]},
        {"method": ["da3", {"width": "wide"}]},
        {"method": ["da3", {"nonsense": 1}]},
        {"method": "da3"},
        {"image_px": 4},
        {"image_px": 160.5},
        {"rounds": 0},
        {"rounds": True},
        {"rounds": 10**9},
        {"seed": -1},
        {"seed": 2**70},
        {"backbone": 5},
        {"more": 1},
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(FleetError, match="makes no sense"):
        Plan.from_text(json.dumps(json.loads(PLAN.to_text()) | change))


@pytest.mark.parametrize("text", ["", "{", "[]", "1", "null", "{}", "[" * 100_000])
def test_what_is_no_text_of_theirs_is_refused(text: str) -> None:
    for kind in (Offer, Plan):
        with pytest.raises(FleetError, match="makes no sense"):
            kind.from_text(text)


def test_all_classes_are_learned_and_it_is_known_who_lacks_which() -> None:
    other = Offer({"aster": 1, "rose": 1}, 224, "efficientnet_lite0", "f" * 64)
    classes = agree_on_classes([OFFER, other])
    assert classes == ("aster", "rose", "tulip")
    assert lacking(OFFER, classes) == ["aster"] and lacking(other, classes) == ["tulip"]


@pytest.mark.parametrize(
    ("sizes", "agreed"), [([160], 160), ([160, 224, 160], 160), ([160, 224], 224)]
)
def test_the_size_is_that_of_most(sizes: list[int], agreed: int) -> None:
    offers = [Offer({"rose": 1}, px, "efficientnet_lite0", "") for px in sizes]
    assert agree_on_size(offers) == agreed
