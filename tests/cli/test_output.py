"""Names from files reach the terminal as text: no colours, no cursor, no lines of their own."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import addapt.cli
from addapt._errors import DataError
from addapt.cli import main
from addapt.cli.main import app
from addapt.cli.output import add_row, command, make_table, print_table, say
from tests.conftest import MakeFolder

ESCAPE = "\x1b[31m"
HOSTILE = (f"{ESCAPE}red\n[bold]", "caf\udce9 <b>\u202e")  # as class folders


def assert_harmless(text: str) -> None:
    assert "\x1b" not in text
    assert "\u202e" not in text
    text.encode()  # no bytes that are not text


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with images in hostile class folders, and a store of their domain."""
    import numpy as np
    from PIL import Image

    root = tmp_path_factory.mktemp("hostile")
    rng = np.random.default_rng(0)
    for k, label in enumerate(HOSTILE):
        (root / "images" / label).mkdir(parents=True)
        for i in range(5):
            pixels = rng.integers(0, 90, (40, 40, 3))
            pixels[..., k] += 150
            image = root / "images" / label / f"{ESCAPE}{i}\n.png"
            Image.fromarray(pixels.astype(np.uint8)).save(image)
    (root / "images" / HOSTILE[0] / f"{ESCAPE}broken.png").write_text("no image")
    words = ["learn", "hostile", str(root / "images"), "--store", str(root / "store")]
    words += ["--backbone", "mobilenet_v2", "--method", "head", "--epochs", "1"]
    words += ["--image-px", "32", "--threads", "1", "--val-fraction", "0.2"]
    result = CliRunner().invoke(app, [*words, "--weights", str(weights(root))])
    assert result.exit_code == 0, result.stderr
    assert_harmless(result.stdout + result.stderr)
    assert r"\x1b[31mbroken.png is not an image" in result.stderr
    return root


def weights(folder: Path) -> Path:
    import torch

    from addapt import load_backbone

    path = folder / f"{ESCAPE}weights.pth"
    if not path.exists():
        torch.save(load_backbone("mobilenet_v2", "random", plain=True).state_dict(), path)
    return path


def run(root: Path, *words: str) -> str:
    """Run a command in words and as JSON; return all it printed in words."""
    where = ["--store", str(root / "store")]
    wide = {"COLUMNS": "300"}  # so that tables fold nothing
    as_text = CliRunner().invoke(app, [*words, *where], env=wide)
    as_json = CliRunner().invoke(app, [*words, *where, "--json"])
    assert as_text.exit_code == as_json.exit_code, (as_text.stderr, as_json.stderr)
    for result in (as_text, as_json):
        assert_harmless(result.stdout + result.stderr)
    json.loads(as_json.stdout)
    return as_text.stdout + as_text.stderr


def test_hostile_names_from_learning_to_predicting(learned: Path) -> None:
    shown = (r"\x1b[31mred\n[bold]", r"caf\udce9 <b>\u202e")
    given = ("--weights", str(weights(learned)))
    assert all(label in run(learned, "show", "hostile") for label in shown)
    assert "file \\\\x1b[31mweights.pth" in run(learned, "show", "hostile")
    image = next((learned / "images" / HOSTILE[1]).iterdir())
    predicted = run(learned, "predict", str(image), "--domain", "hostile", *given)
    assert all(label in predicted for label in shown)
    confusion = learned / "confusion.svg"
    folder = str(learned / "images")
    scores = run(learned, "eval", "hostile", folder, "--confusion", str(confusion), *given)
    assert all(label in scores for label in shown)
    assert "\x1b" not in confusion.read_text(encoding="utf-8")
    assert "hostile" in run(learned, "domains")


def test_the_classes_are_the_bytes_of_the_folders(learned: Path) -> None:
    words = ["show", "hostile", "--store", str(learned / "store"), "--json"]
    classes = json.loads(CliRunner().invoke(app, words).stdout)["classes"]
    assert {os.fsencode(name) for name in classes} == {os.fsencode(name) for name in HOSTILE}


def test_errors_that_name_hostile_things(learned: Path, make_folder: MakeFolder) -> None:
    folder = make_folder(classes=(f"{ESCAPE}one",))
    assert r"one class, '\x1b[31mone'" in run(learned, "learn", "x", str(folder))
    assert r"\x1b[31mgone" in run(learned, "learn", "x", str(folder / f"{ESCAPE}gone"))
    (folder / f"{ESCAPE}loop").symlink_to(folder / f"{ESCAPE}loop")
    assert r"\x1b[31mloop does not exist" in run(learned, "learn", "x", f"{folder}/{ESCAPE}loop")
    (learned / "store" / "damaged.safetensors").write_bytes(b"\x1b[31m" * 100)
    assert "damaged" in run(learned, "domains")
    (learned / "store" / "damaged.safetensors").unlink()


def test_lines_and_cells(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\nb", f"{ESCAPE}c")
    table = make_table(f"{ESCAPE}title", "column")
    add_row(table, f"{ESCAPE}x\ny")
    add_row(table, ["first\n", "second"])
    print_table(table)
    out = capsys.readouterr().out
    assert_harmless(out)
    assert out.startswith("a\\nb\n\\x1b[31mc\n")
    assert [line.strip() for line in out.splitlines()][-3:] == ["first\\n", "second", ""]
    assert r"\x1b[31mx\ny" in out


def test_an_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    import typer

    with pytest.raises(typer.Exit), command(as_json=False, debug=False):
        raise DataError(f"The image {ESCAPE}\nError: all is lost")
    assert capsys.readouterr().err == "Error: The image \\x1b[31m\\nError: all is lost\n"


def test_what_nobody_foresaw_quotes_no_escapes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError(f"{ESCAPE}boom")

    monkeypatch.setattr(main, "app", fail)
    with pytest.raises(SystemExit) as caught:
        main.main()
    assert caught.value.code == 1
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert err.endswith("RuntimeError: \\x1b[31mboom\n")


def test_a_terminal_that_is_not_utf_8(learned: Path) -> None:
    words = ["show", "hostile", "--store", str(learned / "store")]
    code = "import sys; from addapt.cli.main import main; sys.argv[0] = 'addapt'; main()"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii:strict"}
    run = subprocess.run(
        [sys.executable, "-c", code, *words], env=environment, capture_output=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    assert rb"caf\udce9" in run.stdout


def test_nothing_is_printed_past_say() -> None:
    """Commands print through `say`, tables and JSON, which escape; never by themselves."""
    found = []
    for path in sorted(Path(addapt.cli.__path__[0]).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "typer.echo"):
                found.append(path.name)
    assert found == ["output.py", "output.py"]
