"""The house rules that a program can check: who imports whom, file sizes, names."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "addapt"
FILES = sorted(path.relative_to(SOURCE) for path in SOURCE.rglob("*.py"))
MAX_LINES = 300
EMPTY_WORDS = {"utils", "util", "helpers", "helper", "manager", "common"}

# From the ground up. A unit may import itself and what stands on a line above it. But nobody
# imports an engine from outside: the product knows it by `engines.base` alone.
PRODUCT_BELOW: tuple[tuple[str, ...], ...] = (
    ("_errors", "_text", "_disk", "_paths", "_hosts"),
    ("_cache", "memory"),
    ("images", "domains", "backbones", "methods"),
    ("gates", "watching"),
    ("engines.abilities", "engines.recogniser"),
    ("engines.base", "engines.graph_files"),
)
TORCH: tuple[tuple[str, ...], ...] = (
    ("engines.torch.ops",),
    ("engines.torch.freezing",),
    ("engines.torch.backbones",),
    ("engines.torch.gates",),
    ("engines.torch.methods",),
    ("engines.torch.memory",),
    ("engines.torch.adamw", "engines.torch.arrays"),
    ("engines.torch",),
)
ONNX: tuple[tuple[str, ...], ...] = (
    ("engines.onnx.frozen", "engines.onnx.parameters"),
    ("engines.onnx.graph",),
    ("engines.onnx.layers", "engines.onnx.writing"),
    (
        "engines.onnx.adaptor",
        "engines.onnx.blocks",
        "engines.onnx.distance",
        "engines.onnx.ends",
    ),
    ("engines.onnx.trained",),
    ("engines.onnx.attention",),
    ("engines.onnx.bias", "engines.onnx.da3", "engines.onnx.head"),
    ("engines.onnx.step",),
    ("engines.onnx.making",),
    ("engines.onnx.exporting", "engines.onnx.session"),
    ("engines.onnx.exporter",),
    ("engines.onnx.maker", "engines.onnx.runtime"),
    ("engines.onnx.adamw",),
    ("engines.onnx.model",),
    ("engines.onnx.engine",),
    ("engines.onnx",),
)
PRODUCT_ABOVE: tuple[tuple[str, ...], ...] = (
    ("engines",),  # which opens one by its name
    ("learning",),
    ("page", "fleet"),
    ("addapt",),  # the package's own face, src/addapt/__init__.py
    ("cli", "demo", "bench", "engines.torch.bench"),
)
LEVELS = (*PRODUCT_BELOW, *TORCH, *ONNX, *PRODUCT_ABOVE)
# What only one engine may import, and none of it when the package itself is imported.
LIBRARIES = {"torch": "torch", "onnx": "onnx", "onnxruntime": "onnx"}
# Files for a runtime are compared in it, whatever writes them.
COMPARES = {Path("engines/torch/exporting.py"): {"onnxruntime"}}
# Commands that show what PyTorch does.
WINDOWS = {Path("cli/audit.py")}
LEVEL_OF = {unit: level for level, units in enumerate(LEVELS) for unit in units}
FRONT = set(LEVELS[-1])  # commands may call each other


def unit_of(module: str) -> str:
    """Return the part of the house that a dotted name below addapt belongs to."""
    parts = module.split(".")[1:]
    for length in range(len(parts), 0, -1):
        unit = ".".join(parts[:length])
        if unit in LEVEL_OF:
            return unit
    return "addapt"


def imported_modules(source: str) -> Iterator[str]:
    """Yield the dotted names below addapt that `source` imports, anywhere in it."""
    return (name for name in all_imports(source) if name.split(".")[0] == "addapt")


def all_imports(source: str) -> Iterator[str]:
    """Yield the dotted names that `source` imports, anywhere in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write imports in full, without dots"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def engine_with(unit: str) -> str | None:
    """Return the name of the engine that a unit is a part of."""
    parts = unit.split(".")
    return parts[1] if parts[0] == "engines" and parts[1:2] in (["torch"], ["onnx"]) else None


def unit_of_file(file: Path) -> str:
    """Return the part of the house that a file, relative to src/addapt, belongs to."""
    unit = unit_of(".".join(("addapt", *file.with_suffix("").parts)))
    assert unit != "addapt", f"{file}: give it its place in LEVELS"
    return unit


def wrong_imports(file: Path, source: str) -> list[str]:
    """Return what `file`, relative to src/addapt, imports against the rules."""
    if file == Path("__init__.py"):
        return []
    unit = unit_of_file(file)
    return [
        module
        for module in imported_modules(source)
        if not _may_import(unit, unit_of(module), is_window=file in WINDOWS)
    ]


def _may_import(unit: str, other: str, *, is_window: bool) -> bool:
    if engine_with(other) not in (None, engine_with(unit)) and not is_window:
        return False
    if unit == other or {unit, other} <= FRONT:
        return True
    return LEVEL_OF[other] < LEVEL_OF[unit]


@pytest.mark.parametrize("file", FILES, ids=str)
def test_imports_run_downwards_only(file: Path) -> None:
    assert wrong_imports(file, (SOURCE / file).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("file", FILES, ids=str)
def test_libraries_that_compute_are_imported_by_their_engine_only(file: Path) -> None:
    own = None if file == Path("__init__.py") else engine_with(unit_of_file(file))
    names = {name.split(".")[0] for name in all_imports((SOURCE / file).read_text("utf-8"))}
    foreign = {name for name in names & LIBRARIES.keys() if LIBRARIES[name] != own}
    assert foreign == COMPARES.get(file, set())


@pytest.mark.parametrize(
    ("file", "source", "allowed"),
    [
        (
            "engines/torch/methods/da3.py",
            "from addapt.engines.torch.backbones.base import Backbone",
            True,
        ),
        (
            "engines/torch/methods/da3.py",
            "from addapt.engines.torch.methods.base import Adaptor",
            True,
        ),
        ("engines/torch/methods/da3.py", "from torch import nn", True),
        ("engines/torch/methods/da3.py", "from addapt.learning.loop import learn", False),
        ("engines/torch/methods/da3.py", "from addapt.engines.torch.memory import plan", False),
        ("engines/torch/methods/da3.py", "def f():\n    import addapt.learning.loop", False),
        ("engines/torch/backbones/base.py", "from addapt import learning", False),
        ("engines/torch/backbones/base.py", "from addapt import Method", False),
        ("engines/torch/backbones/base.py", "import addapt", False),
        ("images/folder.py", "from addapt._errors import DataError", True),
        ("domains/file.py", "from addapt.engines.torch.backbones.base import Backbone", False),
        ("learning/loop.py", "from addapt.engines.base import Model", True),
        ("learning/loop.py", "from addapt.engines.torch.engine import TorchEngine", False),
        ("cli/learn.py", "from addapt.engines.torch.backbones import load_backbone", False),
        ("cli/audit.py", "from addapt.engines.torch.memory import audit_method", True),
        ("engines/torch/engine.py", "from addapt.engines.base import Engine", True),
        ("engines/torch/engine.py", "from addapt.engines import open_engine", False),
        ("engines/torch/engine.py", "from addapt.engines.onnx.step import LOSS", False),
        ("engines/onnx/engine.py", "from addapt.engines.torch.arrays import to_arrays", False),
        ("engines/onnx/step.py", "from addapt.engines.onnx.da3 import AdditiveAttention", True),
        ("engines/onnx/da3.py", "from addapt.engines.onnx.step import LOSS", False),
        ("learning/loop.py", "from addapt.engines.onnx.model import OnnxModel", False),
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
