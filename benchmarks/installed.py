"""The product as it is installed in some Python, not necessarily this one."""

import json
import os
import subprocess
from pathlib import Path

RUN = "from addapt.cli.main import main; main()"  # what the command `addapt` does
ASK_VERSIONS = """
import json, platform
from importlib.metadata import distributions
found = {each.name.lower(): each.version for each in distributions()}
print(json.dumps(found | {"python": platform.python_version()}))
"""
NAMED = ("addapt", "python", "numpy", "pillow", "onnxruntime", "onnx", "torch")


def versions(python: Path) -> dict[str, str]:
    """Return the versions of what counts here."""
    done = subprocess.run(
        [python, "-c", ASK_VERSIONS], env=environment(), capture_output=True, check=True
    )
    found = json.loads(done.stdout)
    return {name: found[name] for name in NAMED if name in found}


def environment(cache: Path | None = None) -> dict[str, str]:
    """Return the environment for a command, with a cache of its own.

    What is installed is what runs, so nobody's path to other modules is in it.
    """
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return inherited if cache is None else {**inherited, "ADDAPT_CACHE": str(cache)}
