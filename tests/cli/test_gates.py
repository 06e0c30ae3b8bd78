"""Gates on the command line: learned, used or not, measured, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from addapt.cli.main import app
from addapt.engines.torch.gates.gates import USUAL_COMPUTE
from tests.cli.test_cli import QUICK, refused, run, run_json
from tests.conftest import MakeFolder, write_images


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, Any]]:
    """Return a store with a gated and an ungated domain, images, and what learning said."""
    root = tmp_path_factory.mktemp("gated")
    write_images(root / "images", ("green", "red"), 5, 40, 0)
    words = (root / "images", "--store", root / "store", *QUICK)
    run_json("learn", "plain", *words)
    asked = ("--gates", "--gate-unit", "blocks", "--gate-kind", "dynamic", "--compute", "0.7")
    return root / "store", root / "images", run_json("learn", "colours", *words, *asked)


def test_learn_tells_what_gates_do(gated: tuple[Path, Path, dict[str, Any]]) -> None:
    _, _, report = gated
    assert report["gates"]["unit"] == "blocks"
    assert report["gates"]["dynamic"] is True
    assert report["gates"]["report"]["compute"] <= 0.7


def test_predict_and_eval_say_which_was_used(gated: tuple[Path, Path, dict[str, Any]]) -> None:
    store, images, _ = gated
    image = images / "red" / "0.png"
    place = ("--store", store, "--threads", "1")
    predict = ("predict", image, "--domain", "colours", *place)
    evaluate = ("eval", "colours", images, *place)
    for words, used in (("--gates", True), ("--no-gates", False)):
        assert run_json(*predict, words)[0]["gated"] is used
        assert run_json(*evaluate, words)["gated"] is used
        said = "Gates of blocks were used: " if used else "Gates were not used, as you asked."
        for each in (predict, evaluate):
            assert said in run(*each, words).stdout
    by_default = run(*predict).stdout
    assert "Gates of blocks were used" in by_default or "they are not faster" in by_default
    plain = run("predict", image, "--domain", "plain", *place).stdout
    assert "ates" not in plain


def test_bench_gates(gated: tuple[Path, Path, dict[str, Any]], tmp_path: Path) -> None:
    store, images, _ = gated
    alone = ("--rounds", "1", "--threads", "1")
    words = ("bench", "gates", "colours", images, "--store", store, *alone)
    chart = tmp_path / "gates.png"
    result = run_json(*words, "--chart", chart)
    (row,) = result["rows"]
    assert (row["domain"], row["unit"], row["kind"]) == ("colours", "blocks", "dynamic")
    assert (row["backbone"], row["compute_target"]) == ("efficientnet_lite0", 0.7)
    assert row["images"] == 10
    assert 0 < row["multiply_adds"] < row["ungated_multiply_adds"]
    assert all(
        row[name] > 0
        for batch in ("1", "16")
        for name in (f"ms_batch{batch}", f"ungated_ms_batch{batch}")
    )
    assert len(row["open_shares"]) == 16
    assert all(sum(shares) == pytest.approx(1) for shares in row["open_shares"])
    assert chart.stat().st_size > 10_000
    only = run_json(*words, "--gates-only")["rows"][0]
    assert only["ms_batch1"] is None
    shown = run(*words, "--gates-only").stdout
    assert "multiply-adds" in shown and "ms an image" not in shown
    assert "ms an image" in run(*words).stdout


def test_two_looks_and_a_smaller_size_are_measured(make_folder: MakeFolder, tmp_path: Path) -> None:
    folder = make_folder(images=4)
    words = ("--store", tmp_path, *QUICK[:2], "--image-px", "96", "--threads", "1", "--gates")
    for kind, rows in (("dynamic", 1), ("static", 0)):
        run_json("learn", kind, folder, *words, "--gate-unit", "resolution", "--gate-kind", kind)
        bench = ("bench", "gates", kind, folder, "--store", tmp_path, "--threads", "1")
        chart = ("--chart", tmp_path / "looks.png") if kind == "dynamic" else ("--gates-only",)
        (row,) = run_json(*bench, "--rounds", "1", *chart)["rows"]
        assert len(row["open_shares"]) == rows
        # Two looks were settled on other images, which were surer or less sure.
        share = row["multiply_adds"] / row["ungated_multiply_adds"]
        assert share < (0.7 if kind == "static" else 1.3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--compute", "0.5"), "--compute is about gates: give --gates, too"),
        (("--gate-unit", "blocks"), "--gate-unit is about gates"),
        (("--gates", "--compute", "0"), "share of compute is 0.0: give a number above 0"),
        (("--gates", "--compute", "1.5"), "share of compute is 1.5"),
        (("--gates", "--compute", "nan"), "share of compute is nan"),
        (("--gates", "--gate-unit", "chanels"), "Did you mean 'channels'"),
        (("--gates", "--gate-kind", "statical"), "Did you mean 'static'"),
        (("--gates", "--gate-unit", "blocks", "--method", "head"), "'head' has no gates of"),
        (("--gates", "--gate-unit", "blocks", "--compute", "0.01"), "can leave out"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_learning_refuses(
    make_folder: MakeFolder, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    said = refused("learn", "c", make_folder(images=3), "--store", tmp_path / "s", *QUICK, *words)
    assert message in " ".join(said.split())


def test_gates_that_a_method_has_not_are_refused_before_images_are_looked_for() -> None:
    words = ("--gates", "--gate-unit", "channels", "--method", "lora")
    assert "'lora' has no gates of channels" in refused("learn", "c", "nowhere", *words)


def test_a_domain_without_gates(gated: tuple[Path, Path, dict[str, Any]]) -> None:
    store, images, _ = gated
    image = images / "red" / "0.png"
    place = ("--store", store)
    for words in (
        ("predict", image, "--domain", "plain", "--gates", *place),
        ("eval", "plain", images, "--gates", *place),
        ("bench", "gates", "plain", images, *place),
        ("bench", "gates", "plain", images, "--gates-only", *place),
    ):
        assert "'plain' has no gates" in refused(*words)
    assert run_json("show", "plain", *place)["gates"] == {}


def test_help_tells_the_usual_shares() -> None:
    said = next(p for p in get_command(app).commands["learn"].params if p.name == "compute").help  # type: ignore[attr-defined]
    others = {USUAL_COMPUTE["blocks"], USUAL_COMPUTE["channels"]}
    assert f"{USUAL_COMPUTE['resolution']} for resolution, else {others.pop()}." in said
    assert not others
