"""Uneven folders: how they are made and judged, and their table."""

from pathlib import Path

import domains
import imbalance
import numpy as np
import pytest
from imbalance import BEFORE, FOLDERS, KINDS, Run, ordered_runs, plain_choice, write_folder

from addapt.learning.scores import Scores
from tests.conftest import MakeFolder
from tests.fake_engine import FakeEngine

RUN = Run("digits", 6, 2, 0, BEFORE)


def test_every_folder_is_learned_in_every_way_with_three_seeds() -> None:
    runs = ordered_runs()
    assert len(set(runs)) == len(runs) == 3 * len(FOLDERS) * len(KINDS)


def test_half_of_the_classes_become_rare(make_folder: MakeFolder, tmp_path: Path) -> None:
    train = make_folder(classes=("a", "b", "c", "d"))
    write_folder(RUN, train, tmp_path / "uneven")
    counts = {path.name: len(list(path.iterdir())) for path in (tmp_path / "uneven").iterdir()}
    assert counts == {"a": 6, "b": 2, "c": 6, "d": 2}
    assert imbalance.rare_classes(["defective", "intact"]) == ["defective"]


def test_before_the_plain_accuracy_chose() -> None:
    scores = Scores(np.array([9, 1]), np.array([9, 0]))
    with plain_choice():
        assert (scores.balanced_accuracy, scores.balanced_images) == (0.9, 10)
    assert scores.balanced_accuracy == 0.5


def test_a_row_judges_by_class(make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = make_folder("train", images=8), make_folder("test", images=3, seed=1)
    folders = domains.DomainFolders(train, None, test, None)
    monkeypatch.setattr(domains, "domain_folders", lambda name: folders)
    monkeypatch.setattr(imbalance, "METHOD", "head")
    row = imbalance.make(FakeEngine(), RUN)
    assert imbalance.is_done(RUN, [row])
    assert not imbalance.is_done(Run("digits", 6, 2, 1, BEFORE), [row])
    rare, common = row["rare_accuracy"], row["common_accuracy"]  # green; blue and red
    assert row["balanced_accuracy"] == pytest.approx((rare + 2 * common) / 3)
    assert row["accuracy"] == pytest.approx((2 * rare + 12 * common) / 14)


def test_table_has_means_over_seeds() -> None:
    folder = FOLDERS[0]
    rows = [
        vars(Run(folder.domain, folder.common, folder.rare, seed, BEFORE))
        | {"balanced_accuracy": 0.6 + seed / 10, "accuracy": 0.9}
        | {"rare_accuracy": 0.3, "common_accuracy": 1.0}
        for seed in (0, 1, 2)
    ]
    (line,) = imbalance.table(rows).splitlines()[2:]
    counts = f"{folder.common} : {folder.rare}"
    assert line == f"| {folder.domain} | {counts} | {BEFORE} | 70.0 | 90.0 | 30.0 | 100.0 | 3 |"
