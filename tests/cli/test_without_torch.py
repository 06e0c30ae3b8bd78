"""All that needs no PyTorch works where that is not, and never waits for it."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from addapt.domains import Store
from addapt.learning.checkpoint import save_run
from addapt.learning.state import TrainingState
from tests.conftest import MakeFolder
from tests.domains.domain_cases import INFO

# A module that is None cannot be imported. Each line is a command; all share one process, as
# starting one takes longest.
CODE = """
import sys

sys.modules["torch"] = None
from typer.testing import CliRunner
from addapt.cli.main import app

for line in sys.argv[1:]:
    result = CliRunner().invoke(app, line.split("|"))
    assert result.exit_code == 0, (line, result.output, result.exception)
    print(line.split("|")[0], len(result.stdout) > 0)
assert "onnx" not in sys.modules, "graphs are made by other processes, whose memory goes with them"
"""
REFUSED = "raise AssertionError('somebody imports torch')"


def run_lines(lines: list[str], **variables: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE, *lines],
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:-1] == [f"{line.split('|')[0]} True" for line in lines]


def test_commands_that_need_no_engine(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    head = {"head.weight": np.ones((3, 1280), np.float32), "head.bias": np.zeros(3, np.float32)}
    for name in ("first", "second"):
        store.save(name, replace(INFO, method="head", hyperparameters={}), head)
    weights = {"head.bias": np.ones(3, np.float32)}
    save_run(store.state_path("third"), TrainingState(step=1, domain=weights), {"seed": 0})
    words = f"--store|{store.folder}"
    lines = [
        "--help",
        f"domains|{words}",
        f"show|first|{words}",
        f"check|{words}",
        f"rename|first|other|{words}",
        f"remove|other|{words}",
        f"check|--repair|{words}",
        "backbones",
    ]
    run_lines(lines)
    assert store.names() == ("second",)


def test_learning_and_recognising(make_folder: MakeFolder, tmp_path: Path) -> None:
    """Nor do the processes import it that make graphs and trials."""
    fake = tmp_path / "modules" / "torch"
    fake.mkdir(parents=True)
    (fake / "__init__.py").write_text(REFUSED)
    folder, where = make_folder(images=4), f"--store|{tmp_path / 'store'}|--threads|1"
    size = "--image-px|40"
    lines = [
        f"learn|colours|{folder}|{where}|{size}|--epochs|1",
        f"learn|small|{folder}|{where}|--image-px|64|--epochs|1|--method|head|--gates",
        f"learn|two|{folder}|{where}|--image-px|64|--epochs|1|--method|head|--gates|--lose|1",
        f"learn|within|{folder}|{where}|{size}|--epochs|1|--method|head|--budget|2GB",
        f"predict|{folder / 'red' / '0.png'}|--domain|colours|{where}",
        f"eval|small|{folder}|{where}",
        f"eval|two|{folder}|{where}|--gates",
        f"domains|{where}",
        f"check|--load|{where}",
        f"plan|--method|bias|{size}|--batch|2|--threads|1",
        f"export|colours|{tmp_path / 'colours.onnx'}|{where}",
    ]
    run_lines(lines, PYTHONPATH=os.pathsep.join([str(fake.parent), *filter(None, sys.path)]))
