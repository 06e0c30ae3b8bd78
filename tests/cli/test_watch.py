"""`addapt watch` as a user meets it: JSON, a pipe, a terminal, Ctrl-C, and mistakes."""

import json
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from addapt.watching import Clock
from tests.cli.conftest import LABELS, refused, run, said
from tests.cli.test_predict import MAIN

installed = pytest.mark.skipif(find_spec("av") is None, reason="the extra video is not installed")


@pytest.fixture(scope="module")
def clip(learned: Path) -> Path:
    """Two seconds of red, then two of green."""
    from tests.watching.clips import encode

    still = np.random.default_rng(0).integers(0, 90, (2, 48, 64, 3)).astype(np.uint8)
    still[0, ..., 1] += 150  # as the second class
    still[1, ..., 0] += 150
    images = [still[i // 40] for i in range(80)]
    return encode(learned / "clip.mp4", images, rate=20)


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have somebody press Ctrl-C as soon as there is nothing to do."""

    def sleep(clock: Clock, seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Clock, "sleep", sleep)


@installed
def test_a_video_as_json(clip: Path, where: tuple[object, ...]) -> None:
    result = run("watch", clip, *where, "--every-frame", "--above", "0.4", "--json")
    assert result.exit_code == 0, result.stderr
    *rows, last = map(json.loads, result.stdout.splitlines())
    assert [row["frame"] for row in rows] == list(range(80))
    assert rows[30]["time_s"] == pytest.approx(1.5)
    assert rows[30]["domain"] == "colours"
    labels = [row["label"] for row in rows]
    assert labels[:40] == [labels[0]] * 40
    assert labels[50:] == [labels[-1]] * 30
    assert {labels[0], labels[-1]} == set(LABELS)
    assert all((row["ms"] > 0) == row["recognised"] for row in rows)
    assert sum(row["changed"] for row in rows) == 2
    summary = last["summary"]
    assert summary["frames_seen"] == 80
    assert summary["frames_dropped"] == 0
    assert summary["recognised"] == sum(row["recognised"] for row in rows) < 40
    assert summary["changes"] == 1
    assert 0 < summary["processor_share"] < 100


@installed
def test_a_video_in_a_pipe_is_a_line_for_each_change(clip: Path, where: tuple[object, ...]) -> None:
    result = run("watch", clip, *where, "--every-frame", "--above", "0.4")
    heading, first, second = result.stdout.splitlines()
    assert heading == "time\tclass\tprobability"
    assert first.startswith("0:00:00\tred\t")
    assert second.startswith("0:00:02")
    assert "\tgreen [bold]\t" in second
    assert result.stderr.startswith("80 frames seen, 0 of them dropped; ")
    assert "; 1 change of the answer; " in result.stderr


@pytest.mark.usefixtures("interrupted")
def test_a_folder_until_ctrl_c(learned: Path, where: tuple[object, ...], tmp_path: Path) -> None:
    for label in LABELS:
        shutil.copy(learned / "images" / label / "0.png", tmp_path / f"{label}.png")
    (tmp_path / "broken.png").write_bytes(b"x")
    result = run("watch", tmp_path, *where, "--every-frame", "--above", "0.4")
    assert result.exit_code == 0
    heading, *rows = result.stdout.splitlines()
    assert heading == "time\tclass\tprobability\tfile"
    for label, row in zip(LABELS, sorted(rows, key=lambda row: row.split("\t")[1]), strict=True):
        moment, answer, _, file = row.split("\t")
        assert answer == label
        assert file == str(tmp_path / f"{label}.png")
        assert len(moment) == len("2026-11-27 02:40:01")
    left_out, summary = result.stderr.splitlines()
    assert left_out.startswith("Left out: ")
    assert "2 recognised" in summary
    nothing = run("watch", tmp_path, *where, "--every-frame", "--above", "1")
    assert nothing.stdout.count("\t(nothing sure)\t") == 2


@pytest.mark.usefixtures("interrupted")
def test_none_of_these(learned: Path, where: tuple[object, ...], tmp_path: Path) -> None:
    cross = np.full((40, 40, 3), 255, np.uint8)
    cross[8:30, 15:18] = cross[20:23, 5:35] = 0
    Image.fromarray(cross).save(tmp_path / "cross.png")
    shutil.copy(learned / "images" / "red" / "0.png", tmp_path / "own.png")
    words = ("watch", tmp_path, "--every-frame", "--above", "0.4")
    for chosen in (where, where[2:]):  # named, and the only one there is
        result = run(*words, *chosen, "--json")
        *rows, summary = map(json.loads, result.stdout.splitlines())
        by_name = {Path(row["file"]).stem: row for row in rows}
        assert by_name["own"]["label"] == "red" and by_name["own"]["domain"] == "colours"
        assert not by_name["own"]["refused"] and by_name["cross"]["refused"]
        fields = ("domain", "label", "probability")
        assert [by_name["cross"][field] for field in fields] == [None] * 3
        assert summary["summary"]["changes"] == 1
    heading, *lines = run(*words, *where[2:]).stdout.splitlines()
    assert heading == "time\tdomain\tclass\tprobability\tfile"
    cells = {line.split("\t")[2]: line.split("\t")[1:4] for line in lines}
    assert cells["none of these"] == ["", "none of these", ""]
    assert cells["red"][0] == "colours"
    assert "none of these" not in run(*words, *where, "--no-refuse").stdout


@pytest.mark.skipif(sys.platform == "win32", reason="signals are others there")
def test_a_real_ctrl_c(learned: Path, where: tuple[object, ...]) -> None:
    words = ["watch", learned / "images", *where, "--json"]
    with subprocess.Popen(
        [sys.executable, "-c", MAIN, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stderr
        assert json.loads(process.stdout.readline())["recognised"]
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0
        assert json.loads(process.stdout.read())["summary"]["recognised"] == 1
        assert process.stderr.read() == b""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no pty")
@installed
def test_one_changing_line_in_a_terminal(clip: Path, where: tuple[object, ...]) -> None:
    words = ["watch", str(clip), *map(str, where), "--every-frame", "--above", "0.4"]
    code = f"import sys; from addapt.cli.main import main; sys.argv[1:] = {words!r}; main()"
    script = f"import pty, sys; sys.exit(pty.spawn([sys.executable, '-c', {code!r}]))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert "red" in done.stdout
    assert "green [bold]" in done.stdout
    assert "\x1b[2K" in done.stdout  # the line before is wiped away
    assert done.stdout.splitlines()[-1].count("80 frames seen") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nowhere.mp4",), "The video or folder nowhere.mp4 does not exist"),
        ((".", "--above", "2"), "--above is 2.0: give a probability, from 0 to 1"),
        ((".", "--smooth", "soon"), "--smooth is 'soon': give a time such as 5s"),
        ((".", "--at-least-every", "5m"), "--at-least-every is '5m': give a time such as 5s"),
        ((".", "--accept", "1"), "--accept is 1.0: give the share of a domain's own images"),
        (("0", "--every-frame"), "--every-frame is for videos and folders"),
    ],
)
def test_mistakes(where: tuple[object, ...], words: tuple[str, ...], message: str) -> None:
    assert message in refused("watch", *words, *where)


def test_a_domain_that_is_unknown_and_a_folder_without_images(
    learned: Path, where: tuple[object, ...], tmp_path: Path
) -> None:
    assert "hold no images" in refused("watch", tmp_path, *where)
    unknown = ("--domain", "colour", "--store", learned / "store")
    assert "Did you mean 'colours'?" in refused("watch", tmp_path, *unknown)
    assert "There is no domain in" in refused("watch", ".", "--store", tmp_path)


def test_what_it_offers() -> None:
    told = said("watch", "--help")
    for option in (
        "--at-least-every",
        "--smooth",
        "--above",
        "--every-frame",
        "--gates",
        "--accept",
    ):
        assert option in told
