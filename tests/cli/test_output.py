"""Names from files reach the terminal as text: no colours, no cursor, no lines of their own."""

import ast
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import addapt.cli
from addapt import load_backbone
from addapt.cli import main
from addapt.cli.output import Table, add_row, make_table, print_table, progress_bar, say
from addapt.cli.terminal import begin
from addapt.learning import Progress
from tests.cli.conftest import run, run_json, said
from tests.conftest import MakeFolder, write_images

ESCAPE = "\x1b[31m"
WEIGHTS = f"{ESCAPE}weights.pth"
HOSTILE = (f"{ESCAPE}red\n[bold]", "caf\udce9 <b>\u202e")  # as class folders


def assert_harmless(text: str) -> None:
    assert "\x1b" not in text
    assert "\u202e" not in text
    text.encode()  # no bytes that are not text


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with images in hostile class folders, weights, and a store of the domain."""
    root = tmp_path_factory.mktemp("hostile")
    write_images(root / "images", HOSTILE, 5, 40, 0)
    for path in (root / "images").rglob("*.png"):
        path.rename(path.with_name(f"{ESCAPE}{path.stem}\n.png"))
    (root / "images" / HOSTILE[0] / f"{ESCAPE}broken.png").write_text("no image")
    torch.save(load_backbone("resnet18", "random", plain=True).state_dict(), root / WEIGHTS)
    words = ["learn", "hostile", root / "images", "--store", root / "store"]
    words += ["--backbone", "resnet18", "--method", "head", "--epochs", "1"]
    words += ["--image-px", "32", "--threads", "1", "--val-fraction", "0.2"]
    shown = said(*words, "--weights", root / WEIGHTS)
    assert_harmless(shown)
    assert r"\x1b[31mbroken.png is not an image" in shown
    return root


def both(root: Path, *words: object) -> str:
    """Run a command in words and as JSON; return all it printed in words."""
    where = ("--store", root / "store")
    as_text, as_json = run(*words, *where), run(*words, *where, "--json")
    assert as_text.exit_code == as_json.exit_code, (as_text.stderr, as_json.stderr)
    for result in (as_text, as_json):
        assert_harmless(result.stdout + result.stderr)
    json.loads(as_json.stdout)
    return as_text.stdout + as_text.stderr


def test_hostile_names_from_learning_to_predicting(learned: Path) -> None:
    given = ("--weights", learned / WEIGHTS)
    fields = both(learned, "show", "hostile")
    assert "file \\\\x1b[31mweights.pth" in fields
    image = next((learned / "images" / HOSTILE[1]).iterdir())
    predicted = both(learned, "predict", image, "--domain", "hostile", *given)
    confusion, folder = learned / "confusion.svg", learned / "images"
    drawn = ("--confusion", confusion, "--mistakes", "9", "--sheet", learned / "sheet.html")
    scores = both(learned, "eval", "hostile", folder, *drawn, *given)
    for label in (r"\x1b[31mred\n[bold]", r"caf\udce9 <b>\u202e"):
        assert label in fields and label in predicted and label in scores
    assert "\x1b" not in confusion.read_text(encoding="utf-8")
    assert "\x1b" not in (learned / "sheet.html").read_text(encoding="utf-8")
    assert "hostile" in both(learned, "domains")
    classes = run_json("show", "hostile", "--store", learned / "store")["classes"]
    assert {os.fsencode(name) for name in classes} == {os.fsencode(name) for name in HOSTILE}


def test_errors_that_name_hostile_things(learned: Path, make_folder: MakeFolder) -> None:
    folder = make_folder(classes=(f"{ESCAPE}one",))
    assert r"one class, '\x1b[31mone'" in both(learned, "learn", "x", folder)
    (folder / f"{ESCAPE}loop").symlink_to(folder / f"{ESCAPE}loop")
    assert r"\x1b[31mloop does not exist" in both(learned, "learn", "x", folder / f"{ESCAPE}loop")
    (learned / "store" / "damaged.safetensors").write_bytes(b"\x1b[31m" * 100)
    assert "damaged" in both(learned, "domains")
    (learned / "store" / "damaged.safetensors").unlink()


def test_lines_and_cells(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\nb", f"{ESCAPE}c")
    table = make_table(f"{ESCAPE}title", "image", ">at\nonce", "values")
    add_row(table, Path(f"long/{'path/' * 50}{ESCAPE}x\n.png"), 7, ["first\n", "second\t[bold]"])
    print_table(table)
    assert capsys.readouterr().out.split("\n") == [
        "a\\nb",
        r"\x1b[31mc",
        r"\x1b[31mtitle",
        "image\tat once\tvalues",
        rf"long/{'path/' * 50}\x1b[31mx\n.png" + "\t7\tfirst\\n, second\\t[bold]",
        "",
    ]


def drawn(columns: int, table: Table, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the lines that a table takes in a terminal of so many columns."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    begin(table)(table.rows)
    sys.stdout.seek(0)
    return [line.rstrip() for line in sys.stdout.read().splitlines()]


def test_a_terminal_shortens_paths_and_wraps_words(monkeypatch: pytest.MonkeyPatch) -> None:
    table = make_table(None, "image", "class", ">probability")
    path = f"{'holidays/' * 9}beach.jpg"
    add_row(table, Path(path), "a very green [apple]", "33.8%")
    add_row(table, Path("b.jpg"), "red", "100.0%")
    assert drawn(140, table, monkeypatch)[2].split("  ")[0] == path
    assert drawn(44, table, monkeypatch) == [
        "image              class         probability",
        "─" * 44,
        "holid…s/beach.jpg  a very green        33.8%",
        "                   [apple]",
        "b.jpg              red                100.0%",
    ]
    # Too narrow for columns.
    assert drawn(30, table, monkeypatch) == [
        "image        holid…s/beach.jpg",
        "class        a very green",
        "             [apple]",
        "probability  33.8%",
        "",
        "image        b.jpg",
        "class        red",
        "probability  100.0%",
        "",
    ]
    table = make_table(None, "image")
    add_row(table, Path("日本語" * 20 + ".png"))
    row = drawn(21, table, monkeypatch)[2]
    assert row.startswith("日本語…")
    assert row.endswith("語日本語.png")


def test_progress_in_a_log_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([0.0, 1.0, 40.0, 40.0, 41.0])
    monkeypatch.setattr("addapt.cli.output.time.monotonic", lambda: next(clock))
    with progress_bar() as show:
        for done in (1, 2, 3):
            show(Progress("learning", done, 9, accuracy=0.5))
    assert capsys.readouterr() == ("", "learning: 2 of 9, accuracy 50.0%\n")


def test_a_real_terminal(learned: Path) -> None:
    words = ["show", "hostile", "--store", str(learned / "store")]
    code = (
        "import fcntl, struct, sys, termios; from addapt.cli.main import main\n"
        "fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('4H', 24, 40, 0, 0))\n"
        f"sys.argv = ['addapt', *{words!r}]; main()"
    )
    script = f"import pty, sys; sys.exit(pty.spawn([sys.executable, '-c', {code!r}]))"
    environment = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True)
    out = run.stdout.decode().splitlines()[1:]  # the headings are bold
    assert run.returncode == 0, out
    assert max(map(len, out)) <= 40
    assert any(line.startswith("file ") and line.rstrip().endswith("e.safetensors") for line in out)


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
    assert found == ["output.py"] * 5


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_what_is_printed_beside_a_bar_goes_to_standard_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    bar = Terminal()
    monkeypatch.setattr("sys.stderr", bar)
    with progress_bar() as show:
        show(Progress("recognising", 1, 2))
        say("a row")
    assert capsys.readouterr().out == "a row\n"
    assert "recognising" in bar.getvalue() and "a row" not in bar.getvalue()
