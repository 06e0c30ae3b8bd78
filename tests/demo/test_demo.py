"""The demo's run and report, with tiny images and a tiny backbone."""

import json
import re
from pathlib import Path

import pytest
import torch

from addapt.demo import run as demo_run
from addapt.demo.images import ImageSource
from addapt.demo.mixed import Row, Sorted, went_where
from addapt.demo.report import write_report
from addapt.demo.run import run_demo, run_mixed, summary
from addapt.engines import engine_of
from addapt.engines.torch.backbones import Backbone
from addapt.learning import Learner, Recognition
from addapt.methods import DA3, Head, Recipe
from tests.conftest import MakeFolder

HOSTILE = "e<script>\x1b[31m\udce9"


@pytest.fixture
def sources(make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(name: str, classes: tuple[str, ...]) -> ImageSource:
        def write(target: Path, val_images: int) -> None:
            target.mkdir(parents=True)
            for split, seed in (("train", 0), ("test", 1)):
                folder = make_folder(f"{name}-{split}", classes, images=6, px=32, seed=seed)
                folder.rename(target / split)

        return ImageSource(name, "package", "MIT <tag>", f"what {name} is", write, (90.0, 99.5))

    monkeypatch.setattr(
        demo_run,
        "SOURCES",
        (build("one", ("a", "b")), build("two", ("c", "d", HOSTILE))),
    )


@pytest.fixture(autouse=True)
def quick_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    for method in (DA3, Head):
        monkeypatch.setattr(method, "recipe", Recipe(lr=0.05, epochs=6, min_steps=1, batch=4))


def test_summary_and_a_self_contained_report(
    sources: None, tiny_backbone: Backbone, tmp_path: Path
) -> None:
    engine = engine_of(tiny_backbone)
    domains = run_demo(engine, tmp_path / "demo", tmp_path / "demo" / "domains")
    mixed = run_mixed(engine, domains, tmp_path / "demo", tmp_path / "demo" / "domains")
    fields = json.loads(json.dumps(summary(domains, mixed, 1)))
    assert fields["changed_logits"] == 0
    assert [row["name"] for row in fields["domains"]] == ["one", "two"]
    assert [row["classes"] for row in fields["domains"]] == [2, 3]
    for row in fields["domains"]:
        assert 0.5 < row["head_accuracy"] <= 1
        assert 0.5 < row["da3_accuracy"] <= 1
        assert 0.5 < row["balanced_accuracy"] == pytest.approx(row["da3_accuracy"])  # even classes
        assert row["weakest"]["accuracy"] <= row["da3_accuracy"]
        assert row["file_bytes"] > 0
        assert row["learn_s"] > 0
    assert domains[0].later_accuracy == [domains[0].da3_accuracy]
    assert domains[1].later_accuracy == []

    assert [row["name"] for row in fields["mixed"]] == ["one", "two", "foreign"]
    for row in fields["mixed"]:
        assert row["images"] == sum(row["went_to"].values()) + row["none_of_these"] == 12

    path = tmp_path / "report.html"
    write_report(domains, mixed, engine, path)
    page = path.read_text(encoding="utf-8")
    bars = re.findall(r"<span>([^<]*)</span><i><b style=.width: (\d+)%", page)
    assert len(bars) == 5
    for domain, shown in zip(domains, (bars[:2], bars[2:]), strict=True):
        assert [int(width) for _, width in shown] == sorted(
            round(100 * (score.accuracy or 0)) for score in domain.per_class
        )
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(links) > 10
    assert all(link.startswith("data:image/") for link in links)
    assert "Nothing." in page
    assert page.count("<td>90.0 to 99.5 %</td>") == 2
    assert page.count(">foreign<") == 1 and ">none of these<" in page
    assert page.count("(foreign)") == sum(one.found.domain is not None for one in mixed[24:])
    weakest = domains[0].weakest
    assert f"<td>{weakest.label}, {weakest.correct} of {weakest.images}</td>" in page
    assert r"e&lt;script&gt;\x1b[31m\udce9" in page
    assert "\x1b" not in page
    assert "<script>" not in page
    assert "MIT &lt;tag&gt;" in page
    domains[0].changed_logits = 3
    write_report(domains, mixed, engine, path)
    assert "This should never happen" in path.read_text(encoding="utf-8")


def test_where_mixed_images_went_by_hand() -> None:
    def one(name: str | None, label: str | None, *taken: str | None) -> Sorted:
        found = Recognition(0, taken[0], taken[1], None, "a", (), None, None)
        return Sorted(name, label, found)

    rows = went_where(
        [
            one("a", "x", "a", "x"),
            one("a", "x", "a", "y"),
            one("a", "x", None, None),
            one(None, None, None, None),
            one(None, None, "a", "y"),
        ]
    )
    assert rows == [
        Row("a", 3, {"a": 2, None: 1}, right=1),
        Row("foreign", 2, {None: 1, "a": 1}, right=1),
    ]


def test_changed_domain_is_noticed(
    sources: None, tiny_backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check of the demo can fail: here learning the second domain spoils the backbone."""
    learn = Learner.learn

    def spoiling(self: Learner, name: str, *words: object, **options: object) -> object:
        report = learn(self, name, *words, **options)  # type: ignore[arg-type]
        if name == "two" and options.get("method") != "head":
            with torch.no_grad():
                next(tiny_backbone.parameters()).mul_(1.001)
        return report

    monkeypatch.setattr(Learner, "learn", spoiling)
    done = run_demo(engine_of(tiny_backbone), tmp_path / "demo", tmp_path / "demo" / "domains")
    assert done[0].changed_logits > 0
