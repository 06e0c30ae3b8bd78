"""What engines say of themselves, before they are opened and after."""

import pytest
import torch

from addapt.engines import ENGINES
from addapt.engines.abilities import ABILITIES, ONNX, RUNTIMES, TORCH, engine_that_taught
from addapt.engines.torch.engine import TorchEngine
from addapt.gates import GateConfig
from addapt.methods import METHODS, Method
from tests.conftest import build_tiny_backbone


def test_every_engine_has_its_abilities() -> None:
    assert set(ABILITIES) == set(RUNTIMES) == set(ENGINES)


def test_pytorch_can_do_all_that_onnx_runtime_can() -> None:
    for name in ("methods", "backbones", "devices", "gates"):
        assert set(getattr(ONNX, name)) <= set(getattr(TORCH, name))
    assert ONNX.gates == ("static gates of resolution", "dynamic gates of resolution")
    assert len(TORCH.gates) == 4


def test_what_is_known_once_pytorch_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = TorchEngine(build_tiny_backbone())
    assert engine.abilities.methods == TORCH.methods
    monkeypatch.setitem(METHODS, "mine", Method)
    assert engine.abilities.methods == (*TORCH.methods, "mine")
    for here, devices in ((False, ("cpu",)), (True, ("cpu", "cuda"))):
        monkeypatch.setattr(torch.cuda, "is_available", lambda here=here: here)
        assert engine.abilities.devices == devices


def test_the_first_lack_is_told() -> None:
    assert TORCH.lack(method="da3", backbone="resnet18", device="cuda:0") is None
    assert ONNX.lack() is None
    lack = ONNX.lack(method="lora", gates=GateConfig("blocks"), device="cuda")
    assert str(lack) == "method 'lora'. It has: bias, da3, head."
    assert str(ONNX.lack(backbone="own")).startswith("backbone 'own'. It has: efficientnet_lite0,")


def test_the_engine_by_the_versions_in_a_file() -> None:
    assert engine_that_taught({"addapt": "0.1.0", "torch": "2.13.0"}) == "torch"
    assert engine_that_taught({"onnxruntime": "1.31.1", "numpy": "2"}) == "onnx"
    assert engine_that_taught({"addapt": "0.1.0"}) is None
