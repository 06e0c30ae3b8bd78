"""What may be asked of gates, and what a domain's file says about them."""

import dataclasses
import json
import math

import pytest

from addapt import GateConfig
from addapt._errors import DomainError, OptionError, UnknownNameError
from addapt.gates import (
    UNITS,
    GateReport,
    Looks,
    gates_fields,
    gates_from,
    looks_from,
    require_gates,
    scaled_px,
    share_words,
    ungated_px,
)
from tests.domains.domain_cases import INFO


def test_what_can_be_asked_and_the_usual_share_of_each_unit() -> None:
    assert {unit: GateConfig(unit).compute for unit in UNITS} == {"resolution": 0.4, "blocks": 0.6}
    assert GateConfig() == GateConfig("resolution", compute=0.4) != GateConfig(compute=0.6)
    assert GateConfig().kind == "static"
    assert GateConfig(dynamic=True, compute=1.0).kind == "dynamic"


def test_what_cannot_be_asked() -> None:
    for compute in (0.0, 1.01, math.nan):
        with pytest.raises(OptionError, match=f"`compute` is {compute}: give a share above 0"):
            GateConfig(compute=compute)
    with pytest.raises(UnknownNameError, match="'block'.*'blocks'"):
        GateConfig("block")
    with pytest.raises(OptionError, match="`lose` is about two looks, and these are static gates"):
        GateConfig(lose=0.3)
    for lose in (-0.1, 100, math.nan):
        with pytest.raises(OptionError, match=f"`lose` is {lose}: give points of accuracy"):
            GateConfig("resolution", dynamic=True, lose=lose)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("dynamic", [False, True])
def test_a_file_says_what_was_asked(unit: str, dynamic: bool) -> None:
    config = GateConfig(unit, dynamic, 0.5)
    report = GateReport(0.5, 0.9, None, ((0.25, 0.75), (1.0,)))
    looks = Looks(96, 0.9, 0.25) if config.looks_twice else None
    fields = gates_fields(config, 224, report, looks)
    assert fields["report"]["open_shares"] == [[0.25, 0.75], [1.0]]
    info = dataclasses.replace(INFO, gates=fields)
    assert gates_from(info) == require_gates("cells", info) == config
    assert looks_from(info) == looks
    assert ungated_px(info) == (224 if (unit, dynamic) == ("resolution", False) else info.image_px)


def test_a_file_without_gates() -> None:
    assert gates_from(INFO) is None
    assert ungated_px(INFO) == INFO.image_px
    with pytest.raises(OptionError, match="'cells' has no gates: learn it with `gates`"):
        require_gates("cells", INFO)


def test_a_file_whose_gates_leave_out_channels_says_how_to_learn_it_anew() -> None:
    fields = gates_fields(GateConfig("blocks"), 224, GateReport(0.6, 0.9, 0.9, ((1.0,),)))
    info = dataclasses.replace(INFO, gates=fields | {"unit": "channels"})
    with pytest.raises(DomainError, match=r"leave out channels, .* Learn the domain again, with "):
        gates_from(info)


def test_whole_numbers_are_floats_in_a_file() -> None:
    config = GateConfig(dynamic=True, compute=1, lose=1)
    fields = gates_fields(config, 224, GateReport(0.5, 0.9, None, ()), Looks(96, 0.9, 0.25))
    assert gates_from(dataclasses.replace(INFO, gates=json.loads(json.dumps(fields)))) == config


def test_sizes_of_a_share() -> None:
    asked = [(224, 1.0), (224, 0.25), (224, 0.6), (96, 0.5), (40, 0.1), (16, 1)]
    assert [scaled_px(*each) for each in asked] == [224, 112, 168, 64, 32, 16]


def test_shares_that_round_alike_are_told_apart() -> None:
    assert share_words(0.5, 0.4) == ("50%", "40%")
    assert share_words(0.3637, 0.3561) == ("36.4%", "35.6%")
    assert share_words(0.36, 0.35999) == ("36.000%", "35.999%")
