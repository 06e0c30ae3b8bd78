"""The page about networks of libraries says what the committed rows say."""

from pathlib import Path

import pytest
import zoo
from PIL import Image

# Its random weights amplify rounding ten million times, in float32 and in float64.
AMPLIFIES = {"timm:efficientnetv2_rw_t"}


def test_the_page_is_made_of_the_committed_rows() -> None:
    rows = zoo.rows_of(zoo.FILE)
    assert rows
    assert zoo.PAGE.read_text(encoding="utf-8") == zoo.page(rows)


def test_the_picture_is_drawn_of_the_committed_rows() -> None:
    with Image.open(zoo.PICTURE) as picture:
        assert picture.info["Description"] == zoo.mark(zoo.points(zoo.rows_of(zoo.FILE)))


def test_a_picture_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    found = {key: [(400, 4), (100, 9)] for key, _, _, _ in zoo.SERIES}
    zoo.draw(found, tmp_path / "zoo.png")
    with Image.open(tmp_path / "zoo.png") as picture:
        assert picture.info["Description"] == zoo.mark(found)


def test_points_are_of_networks_that_ran() -> None:
    rows: list[zoo.Row] = [
        {"name": "a", "eager_bytes": 100, "kept_bytes": 20, "kept_bytes_8bit": 10},
        {"name": "b", "failed": "Oh."},
    ]
    assert zoo.points(rows) == {
        "kept_bytes": [(100, 20)],
        "kept_bytes_8bit": [(100, 10)],
        "da3_kept_bytes": [],
    }


def test_every_row_that_was_compared_is_right() -> None:
    for row in zoo.rows_of(zoo.FILE):
        assert "wrong" not in row, row["name"]
        right = "errors" not in row or zoo.is_right(row)
        assert right or row["name"] in AMPLIFIES, row["name"]


def test_names_are_given_once() -> None:
    names = zoo.names()
    assert len(set(names)) == len(names) == 121


def test_a_difference_in_float32_must_vanish_in_float64() -> None:
    row = {"errors": [1e-3, 1e-3], "errors_float64": [1e-15, 1e-12]}
    assert zoo.is_right(row)
    assert not zoo.is_right(row | {"errors_float64": [1e-15, 1e-6]})
    assert not zoo.is_right({"errors": [float("nan"), float("nan")]})
    assert not zoo.is_right({"refused": "no"}) and not zoo.is_right(row | {"wrong": "crashed"})


def test_what_could_not_be_frozen_is_in_the_table_too() -> None:
    rows: list[zoo.Row] = [
        {"name": "timm:a", "px": 64, "refused": "It decides."},
        {"name": "b", "failed": "Oh."},
    ]
    assert zoo.table(rows).splitlines()[2:] == [
        "| timm:a | 64 | – | – | – | It decides. |",
        "| b |  | – | – | – | Oh. |",
    ]
    assert "Of 121 networks 1 have been run: 1 were refused" in zoo.counts(rows)
