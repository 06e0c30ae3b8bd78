"""The benchmark of fleets: how images are dealt out, and what the table says."""

import json
import re
from pathlib import Path

import fleet
import pytest
from result_rows import read_rows


@pytest.fixture
def train(tmp_path: Path) -> Path:
    for label in "abcde":
        (tmp_path / label).mkdir()
        for number in range(100):
            (tmp_path / label / f"{number}.png").touch()
    return tmp_path


@pytest.mark.parametrize("how", fleet.SPLITS)
def test_each_image_is_dealt_out_once(train: Path, how: str) -> None:
    dealt = fleet.split(train, how, 8, seed=0)
    paths = [path for own in dealt for few in own.values() for path in few]
    assert sorted(paths) == sorted(train.rglob("*.png"))
    assert all(path.parent.name == label for own in dealt for label in own for path in own[label])


@pytest.mark.parametrize("how", fleet.SPLITS)
def test_a_device_can_learn_from_what_it_gets(train: Path, how: str) -> None:
    for own in fleet.split(train, how, 8, seed=1):
        assert min(map(len, own.values())) >= fleet.FEWEST_OF_A_CLASS
        assert sum(map(len, own.values())) >= fleet.FEWEST


def test_a_device_with_one_class_takes_all_others_for_it(tmp_path: Path) -> None:
    alone = tmp_path / "alone" / "c"
    alone.mkdir(parents=True)
    test = {label: 5 + 5 * (label == "c") for label in "abcde"}
    for label, images in test.items():
        (tmp_path / "test" / label).mkdir(parents=True)
        for number in range(images):
            (tmp_path / "test" / label / f"{number}.png").touch()
    assert fleet.learn_alone(1, alone.parent, tmp_path / "test", 0) == 10 / 30


def test_splits_are_what_they_are_called(train: Path) -> None:
    even, skewed, sizes = (
        [{label: len(paths) for label, paths in own.items()} for own in dealt]
        for dealt in (fleet.split(train, how, 8, seed=0) for how in fleet.SPLITS)
    )
    assert {count for own in even for count in own.values()} <= {12, 13}
    assert any(len(own) < 5 for own in skewed)
    assert sum(sizes[0].values()) > 6 * sum(sizes[7].values())


def test_the_same_seed_deals_the_same(train: Path) -> None:
    assert fleet.split(train, "skewed", 8, 3) == fleet.split(train, "skewed", 8, 3)
    assert fleet.split(train, "skewed", 8, 3) != fleet.split(train, "skewed", 8, 4)


def test_the_table_has_means_over_seeds() -> None:
    rows = [
        {
            "domain": "digits",
            "split": "even",
            "strategy": "fedavg",
            "seed": seed,
            "by_round": {"4": 0.5, "10": 0.6, "20": accuracy},
            "one_place": 0.9,
            "alone": [0.2, 0.4],
            "bytes_down": 1_000_000,
            "bytes_up": 1_000_000,
            "finetuning_bytes": 28_000_000,
        }
        for seed, accuracy in ((0, 0.8), (1, 0.9))
    ]
    row = "| 50.0 | 60.0 | 85.0 | 90.0 | 30.0 | 40.0 | 2.00 MB | 1/14.0 | 2 |"
    assert f"| digits, split evenly {row}" in fleet.table(rows)
    assert fleet.table([]) == fleet.NOT_RUN


def test_the_page_has_the_table() -> None:
    page = fleet.PAGE.read_text("utf-8")
    assert fleet.table(read_rows(fleet.FILE)) in page
    assert page == fleet.filled(page), "run: python benchmarks/fleet.py table"


def test_runs_with_kills_are_told_one_by_one() -> None:
    row = {
        "seed": 3,
        "killed_s": {"device": 30.3, "server": 16.8},
        "rounds_before": {"device": 1, "server": 0},
        "exit_codes": [0, 0, 0, 2],
        "domains": 4,
        "stores_harmed": 0,
        "accuracy": 0.467,
    }
    told = "| 3 | at 30 s, in round 2 | at 17 s, in round 1 | no | 4 | 0 | 46.7% |"
    assert told in fleet.kills_table([row])
    assert f"{fleet.kills_table(read_rows(fleet.KILLS_FILE))}\n" in fleet.PAGE.read_text("utf-8")


def test_the_page_says_what_was_measured() -> None:
    page = (Path(__file__).parents[2] / "docs" / "FLEET.md").read_text("utf-8")
    measured = json.loads(fleet.PROCESSES_FILE.read_text("utf-8"))
    assert measured["command"] in page.replace("`\n", "`") and not measured["failed"]
    peaks = {kind: f"{peak / 1e6:.0f}" for kind, peak in measured["peak_bytes"].items()}
    rows = re.findall(r"^\| (.+) \| (\d+) \| (.+) \| (\d+) \|$", page, re.MULTILINE)
    said = [number for row in rows for number in (row[1], row[3])]
    assert said == [
        peaks["device: app"],
        peaks["server: app"],
        peaks["device: SuperNode"],
        peaks["server: SuperLink"],
        peaks["executor"],
        peaks["executor"],
        peaks["device: addapt fleet join"],
        peaks["server: addapt fleet serve"],
    ]
