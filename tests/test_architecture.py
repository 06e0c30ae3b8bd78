"""The house rules that a program can check: who imports whom, file sizes, names."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "addapt"
FILES = sorted(path.relative_to(SOURCE) for path in SOURCE.rglob("*.py"))
MAX_LINES = 300
EMPTY_WORDS = {"utils", "util", "helpers", "helper", "manager", "common"}

# From the ground up. A unit may import itself and what stands on a line above it.
LEVELS: tuple[tuple[str, ...], ...] = (
    ("_errors", "_text", "_disk", "_allocator"),
    ("ops",),
    ("freezing",),
    ("backbones",),
    ("gates",),
    ("methods",),
    ("memory", "data", "domains"),
    ("training",),
    ("addapt",),  # the package's own face, src/addapt/__init__.py
    ("cli", "demo", "bench"),
)
LEVEL_OF = {unit: level for level, units in enumerate(LEVELS) for unit in units}
FRONT = set(LEVELS[-1])  # commands may call each other
GROUND = set(LEVELS[0])
ON_THE_GROUND = {"data", "domains"}  # they know pictures and files, and nothing of networks


def unit_of(module: str) -> str:
    """Return the part of the house that a dotted name below addapt belongs to."""
    part = module.partition(".")[2].partition(".")[0]
    return part if part in LEVEL_OF else "addapt"


def imported_modules(source: str) -> Iterator[str]:
    """Yield the dotted names below addapt that `source` imports, anywhere in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write imports in full, without dots"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == "addapt")


def wrong_imports(file: Path, source: str) -> list[str]:
    """Return what `file`, relative to src/addapt, imports against the rules."""
    if file == Path("__init__.py"):
        return []
    unit = file.parts[0].removesuffix(".py")
    assert unit in LEVEL_OF, f"{file}: give {unit!r} its place in LEVELS"
    return [module for module in imported_modules(source) if not _may_import(unit, unit_of(module))]


def _may_import(unit: str, other: str) -> bool:
    if unit == other or {unit, other} <= FRONT:
        return True
    if unit in ON_THE_GROUND:
        return other in GROUND
    return LEVEL_OF[other] < LEVEL_OF[unit]


@pytest.mark.parametrize("file", FILES, ids=str)
def test_imports_run_downwards_only(file: Path) -> None:
    assert wrong_imports(file, (SOURCE / file).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("file", "source", "allowed"),
    [
        ("methods/da3.py", "from addapt.backbones.base import Backbone", True),
        ("methods/da3.py", "from addapt.methods.base import Method", True),
        ("methods/da3.py", "from torch import nn", True),
        ("methods/da3.py", "from addapt.training.loop import learn", False),
        ("methods/da3.py", "from addapt.memory import plan", False),
        ("methods/da3.py", "def f():\n    import addapt.training.loop", False),
        ("backbones/base.py", "from addapt import methods", False),
        ("backbones/base.py", "from addapt import Method", False),
        ("backbones/base.py", "import addapt", False),
        ("data/folder.py", "from addapt._errors import DataError", True),
        ("domains/file.py", "from addapt.backbones.base import Backbone", False),
        ("cli/main.py", "from addapt import attach", True),
        ("cli/demo.py", "from addapt.demo.run import demo", True),
        ("__init__.py", "from addapt.cli.main import main", True),
    ],
)
def test_the_check_itself(file: str, source: str, allowed: bool) -> None:
    assert (wrong_imports(Path(file), source) == []) is allowed


@pytest.mark.parametrize("file", FILES, ids=str)
def test_files_are_short(file: Path) -> None:
    lines = (SOURCE / file).read_text(encoding="utf-8").count("\n")
    assert lines <= MAX_LINES, f"{file} has {lines} lines: split it by what it does"


def test_names_say_something() -> None:
    assert [file for file in FILES if EMPTY_WORDS & {*file.parts, file.stem}] == []
    assert Path("_errors.py") in FILES  # the list is not empty by mistake
