"""The benchmark of which domain an image is of: its figures by hand, its tables, and small runs."""

from pathlib import Path
from typing import Any

import domains
import numpy as np
import pytest
import which_domain
import which_domain_figures as figures
from which_domain import Lesson, Work
from which_domain_figures import PARTS, WHOLE, Heard, Said

from addapt.demo import foreign
from tests.conftest import write_images
from tests.fake_engine import FakeEngine

NAMES = ("colours", "more")


def test_figures_by_hand() -> None:
    assert figures.auroc([0, 1], [2, 3]) == 1
    assert figures.auroc([2, 3], [0, 1]) == 0
    assert figures.auroc([0, 1], [1]) == 0.75
    own = list(range(100))
    assert figures.accepted_at_95(own, [50, 94, 95, 200]) == 0.5


@pytest.mark.parametrize("kind", foreign.FOREIGN)
def test_foreign_images_are_drawn_alike_each_time(kind: str) -> None:
    first, again = (foreign.drawn(kind, 5) for _ in range(2))
    assert np.array_equal(first, again)
    assert first[0].shape == (96, 96, 3) and first[0].dtype == np.uint8
    assert len({image.tobytes() for image in first}) == 5


def test_parts_have_all_classes_once(tmp_path: Path) -> None:
    for label in range(11):
        (tmp_path / "train" / f"{label:02}").mkdir(parents=True)
    whole, *parts = which_domain.lessons_of("digits", tmp_path / "train")
    assert (whole.store, whole.domain) == (WHOLE, "digits")
    assert [part.domain for part in parts] == [f"digits-{number}" for number in range(5)]
    assert sorted(label for part in parts for label in part.classes) == list(whole.classes)
    (tmp_path / "few" / "one").mkdir(parents=True)
    few = which_domain.lessons_of("x", tmp_path / "few")
    assert [(one.store, one.domain) for one in few] == [(WHOLE, "x"), (PARTS, "x")]


def said(**changes: Any) -> Said:
    """Return what three domains say of four images, of which the last one is not found."""
    arrays = {
        "names": np.array(["a", "b", "c"]),
        # The second lies as near to b, whose answer is nearer.
        "looks": np.array([[1, 2, 3], [1, 1.01, 3], [2, 1, 3], [3, 2, 1.0]]),
        "distance": np.array([[0.5, 3, 3], [0.9, 0.1, 3], [2, 1.5, np.nan], [2, 2, 0.3]]),
        "right": np.array([[1, 0, 0], [0, 1, 0], [0, 1, 0], [1, 0, 0]], bool),
        "label": np.array(["x", "y", "y", "x"]),
        "nearest": np.array([0, 1, 1, 2]),
    }
    return Said(**{**arrays, "stamp": "s", **changes})


def test_choices_by_hand() -> None:
    chosen, asked = said().chosen()
    assert chosen.tolist() == [0, 1, 1, 2] and asked == 1.25
    assert said().chosen(nearly=1)[0].tolist() == [0, 0, 1, 2]
    row = figures.choice("digits", said(), ["a", "b", "b", "a"])
    assert (row["chosen"], row["end_to_end"], row["oracle"]) == (0.75, 0.75, 1)
    assert (row["accepted"], row["answered"]) == (0.75, 0.5)
    without = said().only(["a", "c"])
    assert without.names.tolist() == ["a", "c"]
    assert without.chosen()[0].tolist() == [0, 0, 0, 1]
    foreign = figures.foreign_row("noise", [without], said(distance=np.full((4, 3), 9.0)))
    assert (foreign["auroc"], foreign["accepted"], foreign["near"]) == (1, 0, False)


def test_what_was_said_is_kept_for_the_same_domains(tmp_path: Path) -> None:
    path = tmp_path / "said" / "x.npz"
    assert figures.read_said(path, "s") is None
    figures.write_said(path, said())
    found = figures.read_said(path, "s")
    assert found is not None and np.array_equal(found.looks, said().looks)
    assert figures.read_said(path, "other") is None


def test_other_choices_than_the_product_s_are_noticed() -> None:
    Heard(("a",), {(WHOLE, "a"): said()}, {}).require_same()
    other = Heard(("a",), {(WHOLE, "a"): said(nearest=np.array([0, 0, 1, 2]))}, {})
    with pytest.raises(SystemExit, match="25.00%"):
        other.require_same()


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Work:
    """Return a place for two domains, one of which is in two parts."""
    classes = {"colours": ("a", "b", "c", "d"), "more": ("e", "f")}
    for number, name in enumerate(NAMES):
        for split, images in (("train", 10), ("test", 3)):
            write_images(tmp_path / name / split, classes[name], images, 40, number)
    monkeypatch.setattr(
        domains,
        "domain_folders",
        lambda name: domains.DomainFolders(
            tmp_path / name / "train", None, tmp_path / name / "test", None
        ),
    )
    return Work(tmp_path / "work", most=4, epochs=1)


def test_a_small_run_and_its_tables(work: Work, capsys: pytest.CaptureFixture[str]) -> None:
    engine = FakeEngine()

    def make() -> list[str]:
        for lesson in which_domain.all_lessons(NAMES):
            which_domain.learn(lesson, engine, work, method="head")
        for store, shown in which_domain.shows(NAMES):
            which_domain.look(engine, store, shown, work)
        return capsys.readouterr().out.splitlines()

    with pytest.raises(SystemExit, match="run `learn` first"):
        which_domain.look(engine, WHOLE, "noise", work)
    with pytest.raises(SystemExit, match="run `learn` first"):
        which_domain.measure_time(NAMES, engine, work)
    with pytest.raises(SystemExit, match="run `look` first"):
        which_domain.measure(NAMES, work)
    assert len(make()) == 5 + 7
    assert make() == []  # nothing is done twice
    rows = which_domain.measure_time(NAMES, engine, work, many=7)
    result = which_domain.measure(NAMES, work)
    assert result["domains"] == 2 and result["part_domains"] == 3
    assert [row["images"] for row in (*result[WHOLE], *result[PARTS])] == [4] * 4
    assert [row["foreign"] for row in result["foreign"]] == [*NAMES, *foreign.FOREIGN]
    assert [row["domain"] for row in rows] == list(NAMES)
    assert all("index_s" in row for row in result["learned"] if row["store"] == WHOLE)
    written = figures.table({**result, "time": {"rows": rows}})
    assert "| 3 domains | chosen |" in written and "| noise | far |" in written
    assert "Time, of 200 domains: " in written and "`addapt index` takes" in written
    assert figures.rules(which_domain.hear(NAMES, work)).count("\n| parts |") == 20


def test_a_tenfold_store() -> None:
    def row(chosen: float) -> dict[str, float]:
        return {"chosen": chosen, "end_to_end": chosen, "oracle": 1.0}

    result = {
        WHOLE: [{**row(1.0), "domain": "digits", "accepted": 0.95, "answered": 0.9, "asked": 1.0}],
        PARTS: [{**row(0.5), "domain": "digits", "accepted": 0.95, "answered": 0.4, "asked": 2.0}],
        "tenfold": [{"domains": ("a", "b", "c"), WHOLE: row(1), PARTS: row(0.98)}],
        "foreign": [],
        "time": {},
        "learned": [],
        "domains": 1,
        "part_domains": 5,
    }
    written = figures.table(result)
    assert "| mean | 100.0 | 95.0 | 100.0 | 100.0 | 90.0 | 1.00 |" in written
    assert "Tenfold, a, b, c: chosen 100.0 and 98.0 %" in written
    part_of = {("a", str(i)): f"a-{i // 2}" for i in range(40)}
    part_of |= {(name, str(i)): f"{name}-{i // 2}" for name in "bc" for i in range(10)}
    names = np.array(sorted(set(part_of.values())))
    parts = {}
    for source in "abc":
        own = [number for number, part in enumerate(names) if part.startswith(source)]
        looks = np.full((1, 30), 2.0)
        looks[0, own[0]] = 1
        label = next(label for (name, label), part in part_of.items() if part == names[own[0]])
        parts[PARTS, source] = said(
            names=names,
            looks=looks,
            distance=looks,
            right=looks < 2,
            label=np.array([label]),
            nearest=np.array([own[0]]),
        )
        parts[WHOLE, source] = said(
            names=np.array(["a", "b", "c"]), looks=np.ones((4, 3)), label=np.array(["0"] * 4)
        )
    (found,) = Heard(("a", "b", "c"), parts, part_of).tenfold()
    assert found[PARTS]["chosen"] == 1 and found["domains"] == ("a", "b", "c")


def test_a_lesson_is_not_learned_twice(work: Work) -> None:
    lesson = Lesson(PARTS, "x", "more", ("e", "f"))
    for _ in range(2):
        which_domain.learn(lesson, FakeEngine(), work, method="head")
    assert len((work.folder / "learned.jsonl").read_text().splitlines()) == 1
