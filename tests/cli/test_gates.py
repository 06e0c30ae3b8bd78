"""Gates on the command line: learned, used or not, measured, and what is refused."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from addapt.cli.main import app
from addapt.gates import USUAL_COMPUTE
from tests.cli.conftest import refused, run_json, said
from tests.cli.test_cli import QUICK
from tests.conftest import MakeFolder, write_images


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a store with a gated and an ungated domain, and images."""
    root = tmp_path_factory.mktemp("gated")
    write_images(root / "images", ("green", "red"), 5, 40, 0)
    words = (root / "images", "--store", root / "store", *QUICK)
    run_json("learn", "plain", *words)
    asked = ("--gates", "--gate-unit", "blocks", "--gate-kind", "dynamic", "--compute", "0.7")
    report = run_json("learn", "colours", *words, *asked)
    assert (report["gates"]["unit"], report["gates"]["dynamic"]) == ("blocks", True)
    assert report["gates"]["report"]["compute"] <= 0.7
    return root / "store", root / "images"


def test_predict_and_eval_say_which_was_used(gated: tuple[Path, Path]) -> None:
    store, images = gated
    image = images / "red" / "0.png"
    place = ("--store", store, "--threads", "1")
    predict = ("predict", image, "--domain", "colours", *place)
    evaluate = ("eval", "colours", images, *place)
    assert run_json(*predict, "--gates")["gated"] is True
    assert run_json(*evaluate, "--no-gates")["gated"] is False
    assert "Gates of blocks were used: " in said(*evaluate, "--gates")
    assert "Gates were not used, as you asked." in said(*predict, "--no-gates")
    by_default = said(*predict)
    assert "Gates of blocks were used" in by_default or "they are not faster" in by_default
    assert "ates" not in said("predict", image, "--domain", "plain", *place)


def test_bench_gates(gated: tuple[Path, Path], tmp_path: Path) -> None:
    store, images = gated
    few = ("--rounds", "1", "--threads", "1")
    words = ("bench", "gates", "colours", images, "--store", store, *few)
    chart = tmp_path / "gates.png"
    (row,) = run_json(*words, "--chart", chart)["rows"]
    assert (row["domain"], row["unit"], row["kind"]) == ("colours", "blocks", "dynamic")
    assert (row["backbone"], row["compute_target"]) == ("efficientnet_lite0", 0.7)
    assert row["images"] == 10
    assert 0 < row["multiply_adds"] < row["ungated_multiply_adds"]
    assert row["ms_batch1"] > 0 and row["ungated_ms_batch16"] > 0
    assert len(row["open_shares"]) == 16
    assert all(sum(shares) == pytest.approx(1) for shares in row["open_shares"])
    assert chart.stat().st_size > 10_000
    assert "ms an image" in said(*words)


def test_two_looks_are_told_about(make_folder: MakeFolder, tmp_path: Path) -> None:
    folder, place = make_folder(images=4), ("--store", tmp_path, "--threads", "1")
    words = ("two", folder, *place, *QUICK[:2], "--image-px", "64", "--method", "head", "--gates")
    told = said("learn", *words, "--lose", "0")
    first = r"Gates of resolution, dynamic: \d+% of the multiply-adds: a look at 32 px, "
    second = r"and for \d+% of the images another at 64"
    assert re.search(first + second, " ".join(told.split()))
    gates = run_json("show", "two", "--store", tmp_path)["gates"]
    assert (gates["lose"], gates["looks"]["first_px"]) == (0.0, 32)
    assert "Gates of resolution were used" in said("eval", "two", folder, *place, "--gates")
    file = tmp_path / "two.onnx"
    assert "it has dynamic gates of" in refused("export", "two", file, "--store", tmp_path)


def test_two_looks_and_a_smaller_size_are_measured(make_folder: MakeFolder, tmp_path: Path) -> None:
    folder = make_folder(images=4)
    words = ("--store", tmp_path, *QUICK[:2], "--image-px", "96", "--threads", "1", "--gates")
    for kind, rows in (("dynamic", 1), ("static", 0)):
        run_json("learn", kind, folder, *words, "--gate-unit", "resolution", "--gate-kind", kind)
        bench = ("bench", "gates", kind, folder, "--store", tmp_path, "--threads", "1")
        chart = ("--chart", tmp_path / "looks.png") if kind == "dynamic" else ()
        (row,) = run_json(*bench, "--gates-only", *chart)["rows"]
        assert row["ms_batch1"] is None
        assert len(row["open_shares"]) == rows
        # Two looks were settled on other images, which were surer or less sure.
        share = row["multiply_adds"] / row["ungated_multiply_adds"]
        assert share < (0.7 if kind == "static" else 1.3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--compute", "0.5"), "--compute is about gates: give --gates, too"),
        (("--gate-unit", "blocks"), "--gate-unit is about gates"),
        (("--gates", "--compute", "nan"), "is nan: give a share"),
        (("--gates", "--gate-unit", "bloks"), "Did you mean 'blocks'"),
        (("--gates", "--gate-kind", "statical"), "Did you mean 'static'"),
        (("--gates", "--gate-unit", "blocks", "--method", "head"), "'head' has no gates of"),
        (("--lose", "0.3"), "--lose is about gates: give --gates, too"),
        (("--gates", "--lose", "-1"), "--lose is -1.0: give points of accuracy"),
        (("--gates", "--lose", "1", "--gate-unit", "blocks"), "--lose is about two looks"),
        (("--gates", "--lose", "1", "--gate-kind", "static"), "ask for dynamic gates of"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_learning_refuses(words: tuple[str, ...], message: str) -> None:
    """Before images are looked for."""
    assert message in refused("learn", "c", "nowhere", *QUICK, *words)


def test_too_little_compute(make_folder: MakeFolder, tmp_path: Path) -> None:
    words = ("learn", "c", make_folder(images=3), "--store", tmp_path, *QUICK)
    asked = ("--gates", "--gate-unit", "blocks", "--compute", "0.01")
    assert "can leave out" in refused(*words, *asked)


def test_a_domain_without_gates(gated: tuple[Path, Path]) -> None:
    store, images = gated
    place = ("--store", store)
    for words in (
        ("predict", images / "red" / "0.png", "--domain", "plain", "--gates", *place),
        ("bench", "gates", "plain", images, *place),
    ):
        assert "'plain' has no gates" in refused(*words)
    assert run_json("show", "plain", *place)["gates"] == {}


def test_help_tells_the_usual_shares() -> None:
    said = next(p for p in get_command(app).commands["learn"].params if p.name == "compute").help  # type: ignore[attr-defined]
    shares = (f"{share} for {unit}" for unit, share in USUAL_COMPUTE.items())
    assert f"by default {', '.join(shares)}." in said
