"""`addapt bench step` as a user meets it."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from addapt.bench.step import StepRow
from tests.bench.test_chart import DEAD, ROW
from tests.cli.conftest import refused, run, run_json

TINY = (
    *("bench", "step", "--backbone", "resnet18", "--weights", "random"),
    *("--image-px", "32", "--batch", "2"),
)
FINETUNE = ("finetune", "whole batch", "eager")


# One process shows it, unless slow tests are asked for; workers of DA3 are asked in tests/bench.
@pytest.mark.parametrize(
    ("methods", "wanted"),
    [
        ("finetune", [FINETUNE]),
        pytest.param(
            "finetune, da3",
            [FINETUNE, *(("da3", each, "addapt") for each in ("smallest", "default", "fastest"))],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_real_processes_from_end_to_end(
    methods: str, wanted: list[tuple[str, str, str]], tmp_path: Path
) -> None:
    saved, chart = tmp_path / "step.json", tmp_path / "step.svg"
    words = (*TINY, "--methods", methods, "--rounds", "1", "--threads", "1")
    report: dict[str, Any] = run_json(*words, "--save", saved, "--chart", chart)
    assert json.loads(saved.read_text()) == report
    assert "not measured" not in chart.read_text()
    assert {"backbone", "batch", "image_px", "threads", "rounds", "date"} <= report.keys()
    assert set(report["machine"]) == {"cpu", "cores", "memory_bytes"}
    assert report["command"] == (
        f"addapt bench step --methods {methods.replace(' ', '')} --backbone resnet18 "
        "--weights random --batch 2 --image-px 32 --threads 1 --device cpu --allocator lean "
        "--rounds 1"
    )
    rows = report["rows"]
    assert set(rows[0]) == {field.name for field in fields(StepRow)}
    assert [(row["method"], row["setting"], row["engine"]) for row in rows] == wanted
    assert [row["error"] for row in rows] == [None] * len(rows)
    assert all(row["kept_bytes"] * 5 < rows[0]["kept_bytes"] for row in rows[1:])
    assert all(row["step_s"] > 0 for row in rows)


def test_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("addapt.bench.step.run_comparison", lambda *_, **__: [ROW, DEAD])
    result = run(*TINY, "--methods", "da3,bias")
    assert result.exit_code == 0, result.stderr
    assert "resnet18, 32 px, batch 2, cpu, 2 threads" in result.stdout
    row = next(line for line in result.stdout.splitlines() if "da3 fastest" in line)
    assert row.split()[2:] == ["addapt", "8*", "20.0", "20x", "1.00", "30x", "0.50", "3.0x", "300"]
    assert "over up to 20% of it." in result.stdout.replace("\n", " ")
    assert max(len(line) for line in result.stdout.splitlines()) <= 80
    assert "bias (fastest) failed: died." in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--backbone", "resnet19"), "Did you mean 'resnet18'?"),
        (("--methods", ","), "--methods is empty"),
        (("--image-px", "0"), "Invalid value for '--image-px'"),
        (("--chart", "chart.jpg"), "must end in"),
        (("--save", "absent/step.json"), "does not exist"),
    ],
)
def test_mistakes(words: tuple[str, ...], message: str) -> None:
    assert message in refused(*TINY, *words)
