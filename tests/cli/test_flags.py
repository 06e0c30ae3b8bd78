"""What the library calls by a parameter's name, the command line calls by its flag."""

import ast
import json
import re
from pathlib import Path

import pytest
import typer
from typer.main import get_command

import addapt
from addapt._errors import OptionError
from addapt.cli.flags import FLAGS, with_flags
from addapt.cli.main import app
from addapt.cli.output import command

SOURCE = Path(addapt.__path__[0])
# They start Flower's programs, and tell these what they want.
OTHERS_FLAGS = {Path(f"fleet/{name}.py") for name in ("link", "processes", "serving")}


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("`epochs` is 0: give at least 1.", "--epochs is 0: give at least 1."),
        ("Give `threads=2`, or `restart=True`.", "Give --threads 2, or --restart."),
        ("Or give `engine='torch'`.", "Or give --engine torch."),
        ("Give `store='my store'`.", "Give --store 'my store'."),
        ("Learn it with `gates=GateConfig(compute=0.5)`.", "Learn it with --gates."),
        ("Predict with `gates=False`.", "Predict with --no-gates."),
        ("`budget_bytes=329500001`, `budget_bytes`", "--budget 330MB, --budget"),
        ("`cache_bytes=5000000`", "--cache-mb 5"),
        ("`save_every_s` and `micro_batch`", "--save-every and --micro-batch"),
        ("`BlockInfo`, `stride=2`, `addapt methods`", "`BlockInfo`, `stride=2`, `addapt methods`"),
    ],
)
def test_parameters_become_flags(message: str, shown: str) -> None:
    assert with_flags(message) == shown


def test_an_error_of_the_library_names_flags_on_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(typer.Exit), command(as_json=True, debug=False):
        raise OptionError("`lr` is \x1b[31m\n0: try `lr=0.1`.")
    out, err = capsys.readouterr()
    assert err == "Error: --lr is \\x1b[31m\\n0: try --lr 0.1.\n"
    assert json.loads(out) == {"error": "--lr is \x1b[31m\n0: try --lr 0.1."}


def test_every_flag_exists() -> None:
    above = dict(get_command(app).commands)  # type: ignore[attr-defined]
    groups = [above.pop(name).commands for name in ("bench", "fleet")]
    commands = [command for group in (above, *groups) for command in group.values()]
    options = {word for each in commands for option in each.params for word in option.opts}
    assert set(FLAGS.values()) <= options


def test_flags_are_written_in_the_command_line_only() -> None:
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        file = path.relative_to(SOURCE)
        if file in OTHERS_FLAGS:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                if re.search(r"(?<![\w-])--[a-z]", node.value) and "pip install" not in node.value:
                    found.append((file.parts[0], f"{file}, line {node.lineno}"))
    assert any(room == "cli" for room, _ in found)  # flags are recognised
    assert [where for room, where in found if room != "cli"] == []


def test_what_starts_other_programs_writes_their_flags() -> None:
    assert all((SOURCE / file).exists() for file in OTHERS_FLAGS)
