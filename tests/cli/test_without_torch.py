"""What only looks after domains works where PyTorch is not, and never waits for it."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from addapt.domains import Store
from addapt.learning.checkpoint import save_run
from addapt.learning.state import TrainingState
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
"""


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
    done = subprocess.run([sys.executable, "-c", CODE, *lines], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:-1] == [f"{line.split('|')[0]} True" for line in lines]
    assert store.names() == ("second",)
