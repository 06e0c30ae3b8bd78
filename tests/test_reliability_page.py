"""The page of promises names tests that exist."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def test_every_promise_names_tests_that_exist() -> None:
    named = NAMED.findall((ROOT / "docs" / "RELIABILITY.md").read_text(encoding="utf-8"))
    assert len(named) > 50
    missing = []
    for file, function in named:
        path = ROOT / file
        tree = ast.parse(path.read_text(encoding="utf-8") if path.exists() else "")
        if function not in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}:
            missing.append(f"{file}::{function}")
    assert missing == []
