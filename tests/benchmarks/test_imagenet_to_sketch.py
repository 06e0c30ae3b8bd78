"""The paper's benchmark on a tiny copy of its layout."""

import shutil
import sys
from pathlib import Path

import imagenet_to_sketch
import pytest
from result_rows import append_row, read_rows

from tests.conftest import MakeFolder


@pytest.fixture
def root(make_folder: MakeFolder, tmp_path: Path) -> Path:
    """Make train and test folders of two of the domains."""
    for name in ("cubs", "sketch"):
        for part, images in (("train", 4), ("test", 2)):
            make_folder(f"root/{name}/{part}", images=images)
    return tmp_path / "root"


def call(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> None:
    monkeypatch.setattr(sys, "argv", ["imagenet_to_sketch.py", *map(str, words)])
    imagenet_to_sketch.main()


def refusal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str | Path
) -> str:
    with pytest.raises(SystemExit) as stopped:
        call(monkeypatch, *words)
    assert stopped.value.code == 2
    return capsys.readouterr().err


def test_runs_on_a_tiny_copy(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results.jsonl"
    words: list[str | Path] = [
        "run",
        root,
        "--name",
        "cubs",
        "--method",
        "head",
        "--backbone",
        "resnet18",
    ]
    words += ["--weights", "random", "--epochs", "1", "--image-px", "32", "--threads", "1"]
    for _ in range(2):  # the second time there is nothing left to do
        call(monkeypatch, *words, "--results", results)
    (row,) = read_rows(results)
    assert (row["domain"], row["method"], row["images"]) == ("cubs", "head", 12)
    assert row["judged_images"] == 6 and not row["comparable"]
    assert "200, 5,994 and 5,794 were published" in capsys.readouterr().err
    assert str(tmp_path) not in row["command"]


def test_missing_and_incomplete_folders_are_named(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"no folder {root / 'cars'}" in refusal(monkeypatch, capsys, "check", root)
    shutil.rmtree(root / "sketch" / "test" / "red")
    error = refusal(monkeypatch, capsys, "check", root, "--name", "sketch")
    assert "no image of the class 'red'" in error
    shutil.rmtree(root / "sketch" / "test")
    error = refusal(monkeypatch, capsys, "check", root, "--name", "sketch")
    assert f"no folder {root / 'sketch' / 'test'}" in error
    assert "NAME/test/CLASS" in error


def test_weights_must_be_named(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--weights FILE" in refusal(monkeypatch, capsys, "run", root)
    missing = root / "none.pth"
    words: list[str | Path] = ["run", root, "--name", "cubs", "--backbone", "resnet18"]
    words += ["--weights", missing]
    assert "none.pth" in refusal(monkeypatch, capsys, *words)


def test_layout_as_it_should_be_passes(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(monkeypatch, "check", root, "--name", "cubs", "--name", "sketch")
    assert "has the layout" in capsys.readouterr().out


def test_table_counts_only_what_can_be_compared(tmp_path: Path) -> None:
    row = {"method": "da3", "domain": "cubs", "backbone": "resnet50", "seed": 0}
    append_row(tmp_path / "rows", row | {"accuracy": 0.8123, "comparable": True})
    append_row(tmp_path / "rows", row | {"accuracy": 0.9, "comparable": False})
    table = imagenet_to_sketch.table(read_rows(tmp_path / "rows"))
    assert "| da3, ours | 81.23 | not run here |" in table
    assert "| Piggyback, ResNet-50, as published | 80.50 | 89.62 |" in table
