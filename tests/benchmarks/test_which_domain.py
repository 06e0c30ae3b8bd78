"""The benchmark of which domain an image is of: its figures by hand, and its tables."""

from pathlib import Path

import numpy as np
import pytest
import which_domain


def test_figures_by_hand() -> None:
    assert which_domain.auroc([0, 1], [2, 3]) == 1
    assert which_domain.auroc([2, 3], [0, 1]) == 0
    assert which_domain.auroc([0, 1], [1]) == 0.75
    own = list(range(100))
    assert which_domain.accepted_at_95(own, [50, 94, 95, 200]) == 0.5


@pytest.mark.parametrize("kind", which_domain.FOREIGN)
def test_foreign_images_are_drawn_alike_each_time(kind: str) -> None:
    first, again = (
        [which_domain.FOREIGN[kind](rng) for _ in range(5)]
        for rng in (np.random.default_rng(0), np.random.default_rng(0))
    )
    assert np.array_equal(first, again)
    assert first[0].shape == (96, 96, 3) and first[0].dtype == np.uint8
    assert len({image.tobytes() for image in first}) == 5


def test_parts_have_all_classes_once(tmp_path: Path) -> None:
    for label in range(11):
        (tmp_path / "train" / f"{label:02}").mkdir(parents=True)
    parts = which_domain.parts_of(tmp_path / "train", "digits", tmp_path / "work")
    assert sorted(parts) == [f"digits-{number}" for number in range(5)]
    labels = sorted(path.name for part in parts.values() for path in part.iterdir())
    assert labels == [f"{label:02}" for label in range(11)]
    (tmp_path / "few" / "one").mkdir(parents=True)
    assert list(which_domain.parts_of(tmp_path / "few", "x", tmp_path / "w")) == ["x"]


def test_the_tables() -> None:
    row = {"domain": "digits", "chosen": 1, "accepted": 0.95, "end_to_end": 0.9, "oracle": 0.91}
    foreign = {"foreign": "noise", "near": False, "auroc": 0.99, "accepted_at_95": 0, "accepted": 0}
    written = which_domain.table(
        {
            "store": [row],
            "parts": [row],
            "foreign": [foreign],
            "time": [{"ratio": 1.2}, {"ratio": 1.4}],
            "domains": 1,
            "part_domains": 5,
        }
    )
    assert "| mean | 100.0 | 95.0 | 90.0 | 91.0 |" in written
    assert "| noise | far | 0.990 | 0.0 | 0.0 |" in written
    assert "1.20x to 1.40x" in written
