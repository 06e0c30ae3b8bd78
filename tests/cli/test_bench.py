"""`addapt bench step` as a user meets it."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from addapt.cli.main import app

TINY = ("--backbone", "resnet18", "--weights", "random", "--image-px", "32", "--batch", "2")
FIELDS = {
    *("method", "engine", "setting", "micro_batch", "packed", "error"),
    *("peak_bytes", "peak_how", "process_bytes", "kept_bytes", "step_s", "step_s_spread"),
    *("ratio_memory", "ratio_kept", "ratio_time"),
}
ROWS = {
    "eager:bias": [("bias", "whole batch", "eager")],
    "da3": [("da3", setting, "addapt") for setting in ("smallest", "default", "fastest")],
}


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(
        app, ["bench", "step", *map(str, words)], env={"COLUMNS": "80", "TERM": "dumb"}
    )


# What each row of DA3 does in a process of its own is asked in tests/bench, of workers.
@pytest.mark.parametrize("method", ["eager:bias", pytest.param("da3", marks=pytest.mark.slow)])
def test_real_processes_from_end_to_end(method: str, tmp_path: Path) -> None:
    saved, chart = tmp_path / "step.json", tmp_path / "step.svg"
    words = (*TINY, "--methods", f"finetune, {method}", "--rounds", "1", "--threads", "1")
    result = run(*words, "--json", "--save", saved, "--chart", chart)
    assert result.exit_code == 0, result.stderr
    report: dict[str, Any] = json.loads(result.stdout)
    assert json.loads(saved.read_text()) == report
    assert "not measured" not in chart.read_text()
    assert {"backbone", "batch", "image_px", "threads", "rounds", "date"} <= report.keys()
    assert set(report["machine"]) == {"cpu", "cores", "memory_bytes"}
    assert report["command"] == (
        f"addapt bench step --methods finetune,{method} --backbone resnet18 --weights random "
        "--batch 2 --image-px 32 --threads 1 --device cpu --allocator lean --rounds 1"
    )
    rows = report["rows"]
    assert all(set(row) == FIELDS for row in rows)
    assert [(row["method"], row["setting"], row["engine"]) for row in rows] == [
        ("finetune", "whole batch", "eager"),
        *ROWS[method],
    ]
    assert [row["error"] for row in rows] == [None] * len(rows)
    if method == "da3":
        assert all(row["kept_bytes"] * 5 < rows[0]["kept_bytes"] for row in rows[1:])
        assert rows[1]["ratio_kept"] > 5
    assert all(row["step_s"] > 0 for row in rows)


def test_table(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.bench.test_chart import DEAD, ROW

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
        (("--methods", "da4"), "Did you mean 'da3'?"),
        (("--methods", ","), "--methods is empty"),
        (("--batch", "1"), "needs statistics of several images"),
        (("--image-px", "16"), "give 32 to 2048"),
        (("--image-px", "0"), "Invalid value for '--image-px'"),
        (("--rounds", "0"), "--rounds is 0"),
        (("--chart", "chart.jpg"), "must end in"),
        (("--save", "absent/step.json"), "does not exist"),
    ],
)
def test_mistakes(words: tuple[str, ...], message: str) -> None:
    result = run(*TINY, *words)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
