"""The page's code for Node.js, and what it is compared with."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.web.expected import write_expected
from tests.web.lessons import write_lesson

WEB = Path(__file__).parents[2] / "web"
NODE = shutil.which("node")
RunTests = Callable[..., None]


def require_node() -> str:
    """Return the path of Node.js, or skip by name what cannot be tested without it."""
    if NODE is None:
        pytest.skip("the page is not tested: there is no Node.js (node)")
    if not (WEB / "node_modules").is_dir():
        pytest.skip("the page is not tested: its packages are missing (npm ci in web/)")
    return NODE


@pytest.fixture(scope="session")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of what the shell's code computes."""
    folder = tmp_path_factory.mktemp("expected")
    write_expected(folder)
    return folder


@pytest.fixture(scope="session")
def lesson(expected: Path) -> Path:
    """Return the same folder, with a domain that the shell has learned."""
    require_node()
    write_lesson(expected)
    return expected


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the built page."""
    node = require_node()
    out = tmp_path_factory.mktemp("built")
    subprocess.run([node, "build.mjs", str(out)], cwd=WEB, check=True)
    return out


@pytest.fixture(scope="session")
def run_tests(tmp_path_factory: pytest.TempPathFactory, expected: Path) -> RunTests:
    """Return a function that runs one file of the page's tests."""
    node = require_node()
    out = tmp_path_factory.mktemp("page-tests")
    subprocess.run([node, "build.mjs", "--tests", str(out)], cwd=WEB, check=True)
    (out / "node_modules").symlink_to(WEB / "node_modules")

    def run(name: str, **environment: str) -> None:
        done = subprocess.run(
            [node, "--test", "--test-reporter=spec", str(out / f"{name}.test.mjs")],
            env={**os.environ, "ADDAPT_EXPECTED": str(expected), **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    return run
