"""`addapt bench step` and `bench predict` as a user meets them."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from addapt.bench.answers import Recogniser
from addapt.bench.predict import ColdRow, PredictRow
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
            [
                *(FINETUNE, ("da3", "device", "onnx")),
                *(("da3", each, "torch") for each in ("smallest", "default", "fastest")),
            ],
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
    kept = [row["kept_bytes"] for row in rows[1:] if row["engine"] == "torch"]
    assert all(5 * count < rows[0]["kept_bytes"] for count in kept)
    assert all(row["step_s"] > 0 for row in rows)


def test_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("addapt.bench.step.run_comparison", lambda *_, **__: [ROW, DEAD])
    result = run(*TINY, "--methods", "da3,bias")
    assert result.exit_code == 0, result.stderr
    assert "resnet18, 32 px, batch 2, cpu, 2 threads" in result.stdout
    row = next(line for line in result.stdout.splitlines() if "da3 fastest" in line)
    process, memory, kept, time = ["300", "3.0x"], ["20.0", "20x"], ["1.00", "30x"], ["500", "3.0x"]
    assert row.split()[2:] == ["torch", "8*", *process, *memory, *kept, *time]
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


def test_predicting_by_all_engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warm = [PredictRow("onnx", 224, 1, 12.34, 11.9, 100_000_000, 2.5)]
    asked = []

    def run_warm(recognisers: list[Recogniser], rounds: int, **_: Any) -> list[PredictRow]:
        asked.extend(recognisers)
        return warm

    cold = [ColdRow("torch", 8.0, 7.5, None, None)]
    monkeypatch.setattr("addapt.bench.predict.run_warm", run_warm)
    monkeypatch.setattr("addapt.bench.predict.run_cold", lambda *_, **__: cold)
    words = ("bench", "predict", "--backbone", "resnet18", "--image-px", "64, 32")
    saved = tmp_path / "predict.json"
    result = run(*words, "--save", saved)
    assert result.exit_code == 0, result.stderr
    assert [(each.engine, each.image_px) for each in asked] == [
        *(("onnx", 64), ("torch", 64)),
        *(("onnx", 32), ("torch", 32)),
    ]
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert ["onnx", "224", "1", "100", "12.3", "11.9", "2.5x"] in lines
    assert ["torch", "-", "8.00", "7.50", "-"] in lines
    report = json.loads(saved.read_text())
    assert [row["ms"] for row in report["rows"]] == [12.34]
    assert [row["wall_s"] for row in report["cold_rows"]] == [8.0]
    assert report["command"].startswith("addapt bench predict --backbone resnet18 --image-px")
    assert {"onnxruntime", "torch", "python"} <= report["versions"].keys()


@pytest.mark.parametrize("sides", ["", "31", "224,a", "96,4000"])
def test_sizes_that_cannot_be(sides: str) -> None:
    assert "--image-px is" in refused("bench", "predict", "--image-px", sides)
