"""Opening engines: one that is named or chosen, and a second one where the first cannot."""

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from addapt import Learner
from addapt._errors import MissingPackageError, OptionError, UnknownNameError
from addapt.engines import ENGINES, engine_of, open_engine
from addapt.engines.abilities import ABILITIES, Abilities
from addapt.gates import GateConfig
from tests.conftest import MakeFolder, build_tiny_backbone
from tests.fake_engine import FakeEngine

ASKED: Any = {"epochs": 1, "batch": 8, "image_px": 32}
BACKBONE = "resnet18"


class Stub(FakeEngine):
    """Says that it is one of the real engines, and computes as the fake one."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name  # type: ignore[misc]
        self._info = replace(self._info, name=BACKBONE)

    @property
    def abilities(self) -> Abilities:
        return ABILITIES[self.name]


@pytest.fixture(autouse=True)
def opened(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Put stubs in the place of both engines; return what was asked of each that was opened."""
    orders: list[dict[str, Any]] = []
    for name in ENGINES:
        module = ModuleType(f"stub_of_{name}")

        def open_backbone(
            backbone: str, weights: object, *, device: str, seed: int, name: str = name
        ) -> Stub:
            orders.append({"engine": name, "weights": weights, "device": device, "seed": seed})
            return Stub(name)

        module.open_backbone = open_backbone  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(ENGINES, name, module.__name__)
    return orders


def names(opened: list[dict[str, Any]]) -> list[str]:
    return [order["engine"] for order in opened]


def test_one_is_chosen_and_told_everything(opened: list[dict[str, Any]]) -> None:
    assert open_engine(BACKBONE, "w.pth", seed=3).name == "onnx"
    assert open_engine(BACKBONE, method="lora").name == "torch"
    assert open_engine(BACKBONE, gates=GateConfig("blocks")).name == "torch"
    assert open_engine(BACKBONE, device="cuda").name == "torch"
    assert opened[0] == {"engine": "onnx", "weights": "w.pth", "device": "cpu", "seed": 3}
    assert opened[3]["device"] == "cuda"
    with pytest.raises(UnknownNameError, match="'jax'"):
        open_engine(BACKBONE, engine="jax")
    with pytest.raises(OptionError, match="'onnx' has no method 'lora'"):
        open_engine(BACKBONE, engine="onnx", method="lora")
    assert len(opened) == 4


def test_arguments_that_do_not_go_together() -> None:
    engine = Stub("onnx")
    assert engine_of(engine) is engine_of(engine, engine="onnx") is engine
    with pytest.raises(OptionError, match="needs the engine 'onnx'"):
        Learner(engine, engine="torch")
    with pytest.raises(OptionError, match="needs the engine 'torch'"):
        Learner(build_tiny_backbone(), engine="onnx")
    with pytest.raises(OptionError, match="`weights` is for a backbone that is named"):
        Learner(engine, weights="w.pth")


@pytest.mark.usefixtures("without_torch")
def test_a_network_of_ones_own_without_pytorch() -> None:
    with pytest.raises(MissingPackageError, match="needed for a network of one's own"):
        Learner(object())


def test_a_learner_opens_a_second_engine_when_it_is_needed(
    opened: list[dict[str, Any]], make_folder: MakeFolder, tmp_path: Path
) -> None:
    folder = make_folder()
    image = next((folder / "red").iterdir())
    learner = Learner(BACKBONE, tmp_path / "s", weights="w.pth")
    learner.engine.threads = 2
    assert learner.learn("plain", folder, method="head", **ASKED).method == "head"
    assert names(opened) == ["onnx"]
    for _ in range(2):
        learner.learn("low", folder, method="lora", restart=True, **ASKED)
    gates = GateConfig("blocks", compute=0.6)
    learner.learn("gated", folder, method="head", gates=gates, **ASKED)
    assert names(opened) == ["onnx", "torch"]
    assert opened[1]["weights"] == "w.pth"
    assert learner.engine.name == "onnx"

    again = Learner(BACKBONE, tmp_path / "s")
    again.engine.threads = 2
    for domain in ("plain", "low", "gated", "plain"):
        again.predict([image], domain)
    assert again.evaluate("low", folder).images == 24
    assert names(opened[2:]) == ["onnx", "torch"]
    (engine, _, _), (plain, _, _) = again._load("gated"), again._load("plain")
    assert (engine.name, engine.threads, plain.name) == ("torch", 2, "onnx")


def test_a_learner_whose_engine_is_named_opens_no_other(
    opened: list[dict[str, Any]], make_folder: MakeFolder, tmp_path: Path
) -> None:
    learner = Learner(BACKBONE, tmp_path / "s", engine="onnx")
    with pytest.raises(OptionError, match="The engine 'onnx' has no method 'lora'. It has: bias"):
        learner.learn("low", make_folder(), method="lora", **ASKED)
    assert Learner(BACKBONE, tmp_path / "s", engine="torch").engine.name == "torch"
    assert names(opened) == ["onnx", "torch"]


def test_domains_that_need_pytorch_where_it_is_not(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder()
    image = next((folder / "red").iterdir())
    learner = Learner(BACKBONE, tmp_path / "s")
    gates = GateConfig("blocks", compute=0.6)
    learner.learn("low", folder, method="lora", **ASKED)
    learner.learn("gated", folder, method="head", gates=gates, **ASKED)
    monkeypatch.setitem(sys.modules, "torch", None)
    without = Learner(BACKBONE, tmp_path / "s")
    with pytest.raises(MissingPackageError, match="needed for the method 'lora': pip install"):
        without.load("low")
    for wanted in (None, True, False):
        with pytest.raises(MissingPackageError, match="domains with static gates of blocks: pip"):
            without.predict([image], "gated", gates=wanted)
    with pytest.raises(MissingPackageError, match="'finetune'"):
        without.learn("new", folder, method="finetune", **ASKED)
