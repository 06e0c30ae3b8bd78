"""What may be asked of gates, and what not."""

import math

import pytest

from addapt._errors import OptionError, UnknownNameError
from addapt.engines.torch.gates import UNITS, Gates


@pytest.mark.parametrize("unit", UNITS)
def test_what_can_be_asked(unit: str) -> None:
    assert Gates(unit).kind == "static"
    assert Gates(unit, dynamic=True, compute=1.0).kind == "dynamic"


def test_the_usual_share_of_each_unit() -> None:
    shares = {unit: Gates(unit).compute for unit in UNITS}
    assert shares == {"resolution": 0.4, "blocks": 0.6, "channels": 0.6}
    assert Gates() == Gates("resolution", compute=0.4) != Gates("resolution", compute=0.6)


@pytest.mark.parametrize("compute", [0.0, -0.5, 1.01, math.nan, math.inf])
def test_shares_that_are_none(compute: float) -> None:
    with pytest.raises(OptionError, match=f"share of compute is {compute}.*above 0 and at most 1"):
        Gates(compute=compute)


def test_an_unknown_unit() -> None:
    with pytest.raises(UnknownNameError, match="'block'.*'blocks'"):
        Gates("block")
