"""Installed alone, without PyTorch and without the extra for tests, addapt does what it says."""

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "fresh_install"


@pytest.mark.slow
def test_learns_and_recognises() -> None:
    done = subprocess.run([SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
