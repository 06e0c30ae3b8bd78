"""The points of gates: what they are made of, their means, and what is the best of them."""

import dataclasses
import math
from typing import Any

import gates_points
import gates_table
import numpy as np
import pytest
from gates_points import Judged
from gates_table import Times
from result_rows import Row

PX = gates_points.PX
TIMES = Times({PX: 12.0, 96: 4.0, 64: 3.0}, {(PX, 96): 0.5, (PX, 64): 0.25}, [])


def judged(px: int, right: list[int], sure: list[float]) -> Judged:
    """Return what a model says that gets these of two classes right, so surely."""
    labels = np.zeros(len(right), np.int64)
    logits = np.array([[s, 0.0] if r else [0.0, s] for r, s in zip(right, sure, strict=True)])
    logits = logits.astype(np.float32)
    return Judged(logits, labels, logits, labels, px * px)


def test_points_of_sizes_and_of_two_looks() -> None:
    full = judged(PX, [1, 1, 1, 0], [1, 1, 1, 1])
    small = judged(96, [1, 0, 1, 1], [3, 1, 4, 2])  # not sure of what only the full one knows
    rows = gates_points.points({96: small, PX: full})
    alone = {row["px"]: row for row in rows if row["first_px"] is None}
    assert alone[PX]["accuracy"] == alone[96]["accuracy"] == 0.75
    assert (alone[PX]["lost"], alone[PX]["lost_error"], alone[PX]["compute"]) == (0, 0, 1)
    assert alone[96]["lost"] == 0 and alone[96]["lost_error"] == pytest.approx(0.5**0.5 / 2)
    assert alone[96]["compute"] == pytest.approx((96 / PX) ** 2)
    asked = {(row["compute_target"], row["lose"]): row for row in rows if row["first_px"]}
    assert len(asked) == len(gates_points.COMPUTE) + len(gates_points.LOSE)
    nothing = asked[None, 0.3]  # only the least sure gets a second look, which is right
    assert (nothing["second_share"], nothing["accuracy"], nothing["lost"]) == (0.25, 1, -0.25)
    assert nothing["compute"] == pytest.approx((96 / PX) ** 2 + 0.25)
    assert asked[0.8, None]["second_share"] == 0.5
    assert gates_points.points({96: small}) == []


def test_a_share_that_leaves_nothing_for_a_second_look_is_no_point() -> None:
    large = judged(192, [1], [1])
    rows = gates_points.points({192: large, PX: large})
    shares = [row["compute_target"] for row in rows if row["first_px"]]
    assert [share for share in shares if share] == []
    rows = gates_points.points({192: dataclasses.replace(large, multiply_adds=1), PX: large})
    assert len([row for row in rows if row["compute_target"]]) == len(gates_points.COMPUTE)


def row(domain: str, accuracy: float, px: int = PX, **more: Any) -> Row:
    made: Row = {"domain": domain, "seed": 0, "px": px, "first_px": None, "second_share": 0.0}
    made |= {"compute_target": None, "lose": None, "accuracy": accuracy, "compute": 0.5}
    return made | {"lost": 0.9 - accuracy, "lost_error": 0.01} | more


def looks(domain: str, accuracy: float, second: float, **more: Any) -> Row:
    return row(domain, accuracy, first_px=96, lose=0.3, second_share=second, **more)


ROWS = [
    *(row(name, 0.9) for name in ("digits", "cifar-10")),
    row("digits", 0.88, 96),
    row("cifar-10", 0.86, 96),
    row("cifar-10", 0.84, 96, seed=1),
    looks("digits", 0.9, 0.125),
    looks("cifar-10", 0.896, 0.375),
    row("digits", 0.9, 64),  # not all domains yet
]


def test_means_over_seeds_and_domains() -> None:
    full, small, both = gates_table.summary(ROWS, TIMES)
    assert (full.accuracy, full.ms, full.lost) == (0.9, 12.0, 0.0)
    assert small.accuracies == pytest.approx({"digits": 0.88, "cifar-10": 0.85})
    assert small.accuracy == pytest.approx(0.865) and small.seeds == 1
    assert small.lost_error == pytest.approx(0.01 / 2**0.5)
    assert both.ms == pytest.approx(4 + 0.5 + 0.25 * 12)
    assert gates_table.faster([full, small, both], both) == pytest.approx(12 / 7.5)
    (only, *_) = gates_table.summary(ROWS, None, ["cifar-10"])
    assert math.isnan(only.ms) and only.accuracies == {"cifar-10": 0.9}
    assert gates_table.summary([], TIMES) == []


def test_the_edge_and_what_two_looks_are_above_one_of_as_many_milliseconds() -> None:
    full, small, both = found = gates_table.summary(ROWS, TIMES)
    assert gates_table.edge(found) == [full, both, small]
    worse = dataclasses.replace(both, lost=0.04)
    assert gates_table.edge([full, small, worse]) == [full, small]
    # At 7.5 ms of 4 to 12 a straight line loses 3.5 points times 4.5 of 8.
    expected = 0.035 * 4.5 / 8 - both.lost
    assert gates_table.above_static(found, both) == pytest.approx(expected)
    assert gates_table.above_static(found, small) is None
    assert gates_table.above_static(found, dataclasses.replace(both, ms=13.0)) is None


def test_tables_say_it() -> None:
    found = gates_table.summary(ROWS, TIMES)
    detailed = gates_table.summary(ROWS, TIMES, ["cifar-10"])
    lines = gates_table.table(found, detailed).splitlines()
    assert lines[2].startswith("| **224 px** | 12.0 | 1.00x | 50% | – | 90.0 | .0 ± .7 | – | – |")
    assert lines[4].startswith(
        "| **96, then 224 px; to lose .3** | 7.5 | 1.60x | 50% | 25% | 89.8 | .2 ± .7 | 1.8 | 1.5 |"
    )
    fastest = gates_table.fastest_table(found)
    both = "1.60x faster, .2 points lost (96, then 224 px; to lose .3)"
    assert f"| .2 | – | {both} |" in fastest
    assert gates_table.fastest(found, 0.1, looks=2) is None
    assert gates_table.fastest(found, 4, looks=1) == found[1]
    assert "not run here" in gates_table.table(gates_table.summary(ROWS, None), [])
    assert gates_table.fastest_table(gates_table.summary(ROWS, None)) == "Not run here.\n"
    assert "| 96 px | 88.0 | 85.0 |" in gates_table.domains_table(found)
    assert gates_table.points(-0.0004) == ".0"
    assert [gates_table.points(share) for share in (-0.012, -0.004, 0.1)] == ["-1.2", "-.4", "10.0"]


def test_the_sum_is_compared_with_two_looks_that_were_timed() -> None:
    timed = {"domain": "digits", "px": PX, "first_px": 96, "second_share": 0.25}
    times = dataclasses.replace(TIMES, two_looks=[timed | {"ms": 8.0, "full_ms": 16.0}])
    assert "| digits | 96 | 25% | 50% | 62% |" in gates_table.check_table(times)
    assert gates_table.check_table(None) == "Not run here.\n"
    # In use they took 8 of 16 ms; the sum is 7.5 of 12.
    assert times.of(timed) == pytest.approx(8 / 16 * 12)
    assert times.of(timed | {"first_px": None}) == 12


def test_plot_is_drawn() -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure()
    axes = figure.add_subplot()
    gates_table.draw(gates_table.summary(ROWS, TIMES), axes)
    labels = [text.get_text() for text in axes.legend().get_texts()]
    assert labels == ["one look", "two looks, 96 and 224 px", "nothing as fast loses less"]
