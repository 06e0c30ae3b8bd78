"""`addapt predict` as a user meets it: one image or many, and all the ways they come and go."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from addapt.cli import output
from tests.cli.conftest import LABELS, refused, run, run_json, run_lines, said

# A program started in the background ignores Ctrl-C, and so would what it starts.
MAIN = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from addapt.cli.main import main
sys.argv[0] = "addapt"
main()
"""


def test_a_line_of_json_for_each_image(learned: Path, where: tuple[object, ...]) -> None:
    red, green = (learned / "images" / label / "0.png" for label in ("red", "green [bold]"))
    rows = run_lines("predict", red, green, red, *where)
    assert [row["image"] for row in rows] == [str(red), str(green), str(red)]
    assert [row["label"] for row in rows] == ["red", "green [bold]", "red"]
    assert rows[0]["top"][0] == {"label": "red", "probability": rows[0]["probability"]}
    assert sum(entry["probability"] for entry in rows[0]["top"]) == pytest.approx(1, abs=1e-5)
    assert rows[0]["gated"] is False
    assert len(run_json("predict", red, *where, "--top", "1")["top"]) == 1


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_folders_patterns_and_names_that_come(
    learned: Path, where: tuple[object, ...], engine: str
) -> None:
    images, given = learned / "images", (*where, "--engine", engine)
    rows = run_lines("predict", images, *given)
    assert [row["image"] for row in rows] == [str(path) for path in sorted(images.rglob("*.png"))]
    assert [row["label"] for row in rows] == [Path(row["image"]).parent.name for row in rows]
    some = run_lines("predict", f"{learned}/**/red/1*.png", *given)
    named = [row["image"] for row in some]
    assert named == [row["image"] for row in rows if "red/1" in row["image"]]
    for words, end in (((), b"\n"), (("-0",), b"\0")):
        names = end.join(map(os.fsencode, named))
        result = run("predict", "-", *words, *given, "--json", given=names)
        found = [json.loads(line) for line in result.stdout.splitlines()]
        assert [row["image"] for row in found] == named
        assert [row["label"] for row in found] == [row["label"] for row in some]


def test_tables_into_a_pipe(learned: Path, where: tuple[object, ...]) -> None:
    green = learned / "images" / "green [bold]" / "0.png"
    heading, row = said("predict", green, *where).splitlines()
    assert heading == "image\tclass\tprobability\tnext\t%"
    cells = row.split("\t")
    assert cells[:2] == [str(green), "green [bold]"]
    assert cells[3] == "red"


def test_csv(learned: Path, where: tuple[object, ...], tmp_path: Path) -> None:
    image = (learned / "images" / "red" / "0.png").read_bytes()
    names = ["plain.png", 'a "b", c.png', "caf\udce9\n\x1b[31m.png"]
    for name in names:
        (tmp_path / name).write_bytes(image)
    result = run("predict", *(tmp_path / name for name in names), *where, "--csv")
    assert result.exit_code == 0, result.stderr
    heading, *rows = csv.reader(io.StringIO(result.stdout_bytes.decode(), newline=""), strict=True)
    assert heading == ["image", "class", "probability", "class 2", "probability 2"]
    assert [Path(row[0]).name for row in rows] == [*names[:2], r"caf\udce9\n\x1b[31m.png"]
    for row in rows:
        assert (row[1], row[3]) == ("red", "green [bold]")
        assert float(row[2]) + float(row[4]) == pytest.approx(1, abs=1e-5)
    assert result.stdout_bytes.count(b"\r\n") == 4 == result.stdout_bytes.count(b"\n")


def test_images_that_cannot_be_read(
    learned: Path, where: tuple[object, ...], tmp_path: Path
) -> None:
    red, bad = learned / "images" / "red" / "0.png", tmp_path / "text.jpg"
    bad.write_text("hello")
    words = ("predict", bad, tmp_path / "gone.jpg", red, *where)
    for option in ("--json", "--csv", "--top=2"):
        result = run(*words, option)
        assert result.exit_code == 2
        left_out = result.stderr.splitlines()
        assert len(left_out) == 2
        assert "text.jpg is not an image" in left_out[0]
        assert "gone.jpg does not exist: check the path." in left_out[1]
        assert str(red) in result.stdout.splitlines()[-1]
    for option in ("--csv", "--top=2"):
        assert "None of the images" in refused("predict", bad, *where, option)
    result = run("predict", bad, *where, "--json")
    assert "None of the images" in json.loads(result.stdout)["error"]
    result = run("predict", "-", *where, given=b"\n\n")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Standard input names no image. Give names, one a line" in result.stderr


def test_what_is_asked_for_wrongly(
    learned: Path, where: tuple[object, ...], tmp_path: Path
) -> None:
    red = learned / "images" / "red"
    assert (
        "Give --csv or --json, not both." in run("predict", red, *where, "--csv", "--json").stderr
    )
    assert f"The folder {tmp_path} and the folders in it hold no" in refused(
        "predict", red, tmp_path, *where
    )
    address = "https://x.org/a.jpg?size=1"
    said_no = refused("predict", address, *where)
    assert f"{address} is an address, and addapt downloads nothing." in said_no
    assert "No file matches" in refused("predict", red / "*.tif", *where)


def test_how_far_it_is(
    learned: Path, where: tuple[object, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(output, "LOG_EVERY_S", -1.0)
    (tmp_path / "broken.jpg").write_text("hello")
    words = ("predict", tmp_path / "broken.jpg", learned / "images", *where)
    lines = [line for line in run(*words).stderr.splitlines() if line.startswith("recognising")]
    assert lines == [f"recognising: {done} of 31" for done in range(1, 32)]
    assert said("predict", learned / "images" / "red", *where, "--csv").count("recognising") == 0
    names = "\n".join(map(str, (learned / "images").rglob("*.png")))
    assert run("predict", "-", *where, given=names.encode()).stderr == ""  # how many is not known


@contextmanager
def started(*words: object) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in a process of its own, which is ended after some minutes in any case."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, *map(str, words)], stdin=pipe, stdout=pipe, stderr=pipe
    )
    patience = threading.Timer(300, process.kill)
    patience.start()
    with process:
        yield process
    patience.cancel()


def test_each_name_is_answered_and_an_interruption_keeps_the_answers(
    learned: Path, where: tuple[object, ...]
) -> None:
    with started("predict", "-", *where, "--json") as process:
        assert process.stdin and process.stdout and process.stderr
        for label in LABELS:
            process.stdin.write(os.fsencode(learned / "images" / label / "1.png") + b"\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["label"] == label
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        assert process.stdout.read() == b""
        assert process.stderr.read() == b"Stopped.\n"


def test_who_reads_no_further_is_no_mishap(learned: Path, where: tuple[object, ...]) -> None:
    with started("predict", "-", *where) as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write(os.fsencode(learned / "images" / "red" / "1.png") + b"\n")
        process.stdin.flush()
        assert process.stdout.readline().startswith(b"image\t")
        process.stdout.close()
        for _ in range(2):
            process.stdin.write(os.fsencode(learned / "images" / "red" / "1.png") + b"\n")
        process.stdin.close()
        assert process.wait() == 1
        assert process.stderr.read() == b""


def test_rows_in_a_terminal_come_in_columns_of_one_width(
    learned: Path, where: tuple[object, ...]
) -> None:
    words = ["predict", learned / "images" / "red", *where]
    code = (
        "import fcntl, struct, sys, termios; from addapt.cli.main import main\n"
        "fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('4H', 24, 80, 0, 0))\n"
        f"sys.argv = {['addapt', *map(str, words)]!r}; main()"
    )
    script = f"import pty, sys; sys.exit(pty.spawn([sys.executable, '-c', {code!r}]))"
    environment = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
    environment["TERM"] = "dumb"  # no colours
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True)
    heading, rule, *rows = done.stdout.decode().splitlines()
    assert done.returncode == 0, done.stdout
    assert heading.split()[1:] == ["class", "probability", "next", "%"]
    assert len(rows) == 15
    assert {len(row) for row in rows} == {len(rule)}
    assert len(rule) <= 80
    assert all("…" in row and ".png" in row for row in rows)
