"""Choosing an engine on the command line: learning, recognising, and what is said about it."""

from pathlib import Path

import pytest

from addapt.domains import Store
from tests.cli.conftest import refused, run_json, said
from tests.cli.test_cli import QUICK
from tests.conftest import write_images


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a store with a domain of each engine, and images."""
    root = tmp_path_factory.mktemp("learned")
    write_images(root / "images", ("green", "red"), 6, 40, 0)
    words = (root / "images", "--store", root / "store", *QUICK)
    run_json("learn", "device", *words, "--method", "head")
    run_json("learn", "low", *words, "--method", "lora")
    run_json("learn", "asked", *words, "--method", "head", "--engine", "torch")
    return root / "store", root / "images"


@pytest.mark.parametrize(("domain", "engine"), [("device", "onnx"), ("low", "torch")])
def test_the_first_that_can_is_chosen(learned: tuple[Path, Path], domain: str, engine: str) -> None:
    store, _ = learned
    runtime = {"onnx": "onnxruntime", "torch": "torch"}
    shown = run_json("show", domain, "--store", store)
    assert shown["engine"] == engine
    assert {"onnxruntime", "torch"} & set(shown["versions"]) == {runtime[engine]}
    assert engine in said("show", domain, "--store", store)


def test_what_one_engine_taught_the_other_recognises(learned: tuple[Path, Path]) -> None:
    store, images = learned
    assert Store(store).info("asked").versions.keys() >= {"torch"}
    image = images / "red" / "0.png"
    for domain in ("device", "asked"):
        place = ("--store", store, "--threads", "1")
        answers = [
            run_json("predict", image, "--domain", domain, *place, *engine)["probability"]
            for engine in ((), ("--engine", "onnx"), ("--engine", "torch"))
        ]
        assert answers[0] == answers[1] == pytest.approx(answers[2], abs=1e-4)
        evaluate = ("eval", domain, images, *place, "--engine")
        one, other = (run_json(*evaluate, engine)["confusion"] for engine in ("onnx", "torch"))
        assert one == other


def test_what_the_engine_that_is_asked_for_cannot_do(
    learned: tuple[Path, Path], tmp_path: Path
) -> None:
    store, images = learned
    lack = "The engine 'onnx' has no method 'lora'. It has: bias, da3, head. Or give --engine torch"
    place = ("--store", store, "--engine", "onnx")
    assert lack in refused("predict", images / "red" / "0.png", "--domain", "low", *place)
    assert lack in refused("learn", "x", images, "--method", "lora", *place)
    assert lack in refused("plan", "--method", "head,lora", "--engine", "onnx")
    assert "Did you mean 'torch'" in refused("eval", "low", images, "--engine", "toch", *place[:2])
    lack = "no static gates of blocks. It has: "
    gates = ("--gates", "--gate-unit", "blocks")
    assert lack in refused("learn", "x", images, *gates, *place)
    assert not Store(store).exists("x")


def test_one_sentence_where_pytorch_is_not(learned: tuple[Path, Path], without_torch: None) -> None:
    store, images = learned
    place = ("--store", store)
    for what, words in {
        "the method 'lora'": ("predict", images / "red" / "0.png", "--domain", "low", *place),
        "the method 'finetune'": ("learn", "x", images, "--method", "finetune", *place),
        "domains with static gates of blocks": (
            *("learn", "x", images, "--gates", "--gate-unit", "blocks", *place),
        ),
        "the engine 'torch'": ("eval", "device", images, "--engine", "torch", *place),
        "the device 'cuda'": ("plan", "--device", "cuda"),
        "`addapt audit`": ("audit",),
    }.items():
        message = f"PyTorch, which is not installed, is needed for {what}: pip install"
        assert refused(*words).startswith(f"Error: {message} 'addapt[torch]'.")
    found = {row["name"]: row for row in run_json("check", "--load", *place)["findings"]}
    assert found["device"]["remark"] == ""
    assert found["low"]["verdict"] == "good"
    assert found["low"]["remark"].startswith("Its model was not made. PyTorch,")


def test_tables_tell_which_engines_have_it() -> None:
    rows = {row["name"]: row["engines"] for row in run_json("methods")["methods"]}
    assert (rows["da3"], rows["lora"]) == (["onnx", "torch"], ["torch"])
    assert all(row["engines"] for row in run_json("backbones")["backbones"])
    lines = [line.split("\t") for line in said("methods").splitlines()]
    assert ["da3", "onnx, torch"] in [line[:2] for line in lines]
