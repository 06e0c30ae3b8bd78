"""How much disk an installation takes, package by package, without pip itself.

    python benchmarks/installed_size.py

Installs addapt in new environments, as a user does but with the versions of `constraints.txt`: once
as it is, once with the extra `torch`. Writes `results/installed_size.json`.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "installed_size.json"
WHAT = (".", ".[torch]")
TOOLS = ("pip", "setuptools")  # which an environment begins with


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", nargs="*", default=WHAT, help="as given to `pip install`")
    options = parser.parse_args()
    rows = {}
    for what in options.what:
        rows[what] = measure(what)
        print(f"pip install '{what}': {rows[what]['bytes'] / 1e6:.0f} MB")
        for name, package in rows[what]["packages"].items():
            print(f"  {package['bytes'] / 1e6:6.1f} MB  {name} {package['version']}")
    result = {
        "installed": rows,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "command": " ".join(("python benchmarks/installed_size.py", *sys.argv[1:])),
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")


def measure(what: str) -> dict[str, Any]:
    """Install it in a new environment; return the bytes of all packages and of each."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [f"{folder}/bin/pip", "--disable-pip-version-check", "--quiet", "install"]
        subprocess.run([*pip, "-c", "constraints.txt", what], cwd=ROOT, check=True)
        (site,) = Path(folder).glob("lib/*/site-packages")
        packages: dict[str, dict[str, Any]] = {
            found.name: {
                "version": found.version,
                "bytes": sum(file_bytes(site / file) for file in found.files or ()),
            }
            for found in distributions(path=[str(site)])
            if found.name not in TOOLS
        }
    largest_first = sorted(packages.items(), key=lambda item: -item[1]["bytes"])
    return {
        "bytes": sum(package["bytes"] for package in packages.values()),
        "packages": dict(largest_first),
    }


def file_bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


if __name__ == "__main__":
    main()
