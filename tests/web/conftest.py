"""The page's code for Node.js, and what it is compared with."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from tests.web.expected import write_expected
from tests.web.lessons import write_lesson

ROOT = Path(__file__).parents[2]
WEB = ROOT / "web"
NODE = shutil.which("node")
RunTests = Callable[..., None]


def leave_out(words: str) -> NoReturn:
    """Skip what cannot be tested here, and say why; in continuous integration that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(words, pytrace=False)
    pytest.skip(words)


def require_node() -> str:
    """Return the path of Node.js; without it the page is not tested."""
    if NODE is None:
        leave_out("the page is not tested: there is no Node.js (node)")
    if not (WEB / "node_modules").is_dir():
        leave_out("the page is not tested: its packages are missing (npm ci in web/)")
    return NODE


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return the path of a browser; without one the page is not tried as people use it."""
    require_node()
    found = subprocess.run([ROOT / "scripts/chromium"], capture_output=True, text=True, check=False)
    if found.returncode:
        leave_out(f"the page is not tried in a browser: {found.stderr.strip()}")
    return found.stdout.strip()


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
