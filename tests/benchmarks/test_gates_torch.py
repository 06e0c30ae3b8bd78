"""The benchmark of gates on PyTorch: which runs there are, and what is made of their rows."""

import json
from pathlib import Path
from typing import Any

import gates_torch
import gates_torch_table
import pytest
from trial import hyperparameters


def row(domain: str, unit: str, accuracy: float, **more: Any) -> dict[str, Any]:
    return {
        "backbone": "b",
        "domain": domain,
        "unit": unit,
        "kind": "static",
        "compute_target": 0.6,
        "hyperparameters": hyperparameters("da3"),
        "accuracy": accuracy,
        "train_s": 100 * accuracy,
        "multiply_adds": 50.0,
        "ungated_multiply_adds": 100.0,
    } | more


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    runs = tmp_path / "runs.jsonl"
    rows = [
        row("x", "none", 0.9, compute_target=1.0),
        row("y", "none", 0.8, compute_target=1.0),
        row("x", "blocks", 0.5),
        row("x", "blocks", 0.89),  # made anew
        row("y", "blocks", 0.79),
        row("y", "blocks", 0.1, hyperparameters={"width": 7}),  # of former defaults
        row("x", "resolution", 0.9),  # not all domains yet
        *(row(name, "channels", 0.9) for name in ("x", "y")),  # cannot be run
        row("z", "blocks", 0.9),  # no ungated run yet
    ]
    runs.write_text("".join(json.dumps(each) + "\n" for each in rows))
    return runs, tmp_path / "times.json"


def test_means_over_domains(files: tuple[Path, Path]) -> None:
    (found,) = gates_torch_table.summary(gates_torch_table.joined(*files), "b")
    assert (found["unit"], found["kind"], found["compute_target"]) == ("blocks", "static", 0.6)
    assert found["accuracy"] == pytest.approx(0.84)
    assert found["ungated_accuracy"] == pytest.approx(0.85)
    assert found["compute"] == 0.5
    assert "| 60% | blocks, static | 50% | 84.0 | 1.0 | not run here | not run here |" in (
        gates_torch_table.table(gates_torch_table.joined(*files), "b")
    )
    assert gates_torch_table.table([], "b") == "Not run here.\n"


def test_times_are_joined(files: tuple[Path, Path], tmp_path: Path) -> None:
    times = {"ms_batch1": 5.0, "ungated_ms_batch1": 10.0}
    times |= {"ms_batch16": 40.0, "ungated_ms_batch16": 60.0}
    former = [row(name, "blocks", 0.5, **times) for name in ("x", "y")]
    files[1].write_text(json.dumps({"rows": former}))
    assert "x | 1.50x" not in gates_torch_table.table(gates_torch_table.joined(*files), "b")
    rows = [row("x", "blocks", 0.89, **times), row("y", "blocks", 0.79, **times)]
    files[1].write_text(json.dumps({"rows": former + rows}))
    together = gates_torch_table.joined(*files)
    assert "| 2.00x | 1.50x |" in gates_torch_table.table(together, "b")
    figure = pytest.importorskip("matplotlib.figure").Figure()
    axes = figure.add_subplot()
    gates_torch_table.draw(together, "b", axes)
    labels = [text.get_text() for text in axes.legend().get_texts()]
    assert labels == ["blocks, static", "ungated"]


def test_every_kind_at_four_shares() -> None:
    runs = gates_torch.ordered_runs(["digits", "faces"])
    lite = [run for run in runs if run.backbone == "efficientnet_lite0"]
    assert len(lite) == 2 * (1 + 4 * 3)
    assert len({(run.backbone, run.name) for run in runs}) == len(runs)
    assert {run.unit for run in lite[:2]} == {"none"}
    for run in runs:
        asked = run.gates
        assert (asked is None) == (run.unit == "none")
        assert asked is None or asked.kind == run.kind


def test_steps_are_compared(tmp_path: Path) -> None:
    path = tmp_path / "steps.json"
    assert gates_torch_table.steps_table(path) == "Not run here.\n"
    step = {"backbone": "b", "unit": "blocks", "kind": "static", "ratio_time": 1.5}
    step |= {"kept_bytes": 1, "ungated_kept_bytes": 4}
    path.write_text(json.dumps({"rows": [step, step | {"unit": "channels"}]}))
    table = gates_torch_table.steps_table(path)
    assert "| b | blocks, static | 1.50x | 25% |" in table
    assert "channels" not in table
