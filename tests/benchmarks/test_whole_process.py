"""Whole processes of learning: what is run, and what comes of it."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import memory_tables
import plain_finetuning
import pytest
import whole_process
from drawn_images import write_images
from result_rows import ROOT
from whole_process import DEVICE, FINETUNE, TORCH, row, with_ratios

from addapt.bench.shell import Ran


def test_ratios_are_those_of_the_same_backbone_and_batch() -> None:
    rows = [
        *(row(DEVICE, "a", 8, 100), row(FINETUNE, "a", 8, 900), row(DEVICE, "a", 32, 200)),
        *(row(FINETUNE, "a", 32, 3000), row(DEVICE, "b", 8, 300)),
    ]
    assert [each["ratio"] for each in with_ratios(rows)] == [9, 1, 15, 1, None]


def test_learning_is_the_command_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Mapping[str, object]] = []

    def run(command: list[str], options: Mapping[str, object], environment: Any) -> Ran:
        assert command == ["learn", "x", str(tmp_path / "images")]
        assert environment == {"ADDAPT_CACHE": str(tmp_path / "cache")}
        asked.append(options)
        report = {"micro_batch": 1, "learn_s": 2.0, "val_accuracy": 0.5}
        return Ran(3.0, 4.0, 123, 0, json.dumps(report), "")

    monkeypatch.setattr(whole_process, "run_addapt", run)
    found = whole_process.Runs(tmp_path, 2, 96).learn(TORCH, "resnet18", 8)
    assert found["process_bytes"] == 123 and found["micro_batch"] == 1
    wanted = {"engine": "torch", "batch": 8, "image-px": 96, "threads": 2, "backbone": "resnet18"}
    assert wanted.items() <= asked[0].items()


def test_plain_fine_tuning_goes_through_all_batches(tmp_path: Path) -> None:
    write_images(tmp_path, classes=2, a_class=5, px=40)
    seconds = plain_finetuning.finetune(tmp_path, "resnet18", 4, 32)
    assert len(seconds) == 2 and min(seconds) > 0


def test_table_of_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "result.json"
    monkeypatch.setattr(whole_process, "FILE", file)
    assert "not run here" in memory_tables.whole_process_table()
    rows = [
        *(row(DEVICE, "a", 8, 100_000_000), row(FINETUNE, "a", 8, 900_000_000)),
        row(DEVICE, "resnet50", 8, 300_000_000),
    ]
    file.write_text(json.dumps({"rows": with_ratios(rows)}))
    _, _, small, large = memory_tables.whole_process_table().splitlines()
    assert small == "| a, batch 8 | 900 MB | not run here | 100 MB | **9.0x** |"
    assert large == "| resnet50, batch 8 | – | – | 300 MB | – |"


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_stages_of_learning_in_a_process_of_their_own(engine: str, tmp_path: Path) -> None:
    write_images(tmp_path / "images", classes=10, a_class=2, px=64)
    script = ROOT / "benchmarks" / "memory_stages.py"
    done = subprocess.run(
        [sys.executable, script, engine, tmp_path / "images", "1"],
        stdout=subprocess.PIPE,
        check=True,
    )
    stages = json.loads(done.stdout)
    names = [stage["stage"] for stage in stages]
    found = [
        stage for stage in memory_tables.STAGES if any(name.startswith(stage) for name in names)
    ]
    wanted = [name for name in memory_tables.STAGES if engine == "onnx" or name != "session"]
    assert found == wanted and len(names) == len(found)
    assert all(0 < stage["bytes"] <= stage["peak_bytes"] * 1.01 for stage in stages)
