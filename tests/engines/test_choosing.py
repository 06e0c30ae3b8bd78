"""Which engine does what is asked, and what is said where none here can."""

from typing import Any

import pytest

from addapt._errors import AddaptError, MissingPackageError, OptionError, UnknownNameError
from addapt.engines.choosing import choose_engine
from addapt.gates import GateConfig
from addapt.methods import DA3, LoRA

BACKBONE = "efficientnet_lite0"


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ({}, "onnx"),
        ({"method": "da3"}, "onnx"),
        ({"method": DA3(grid=4), "gates": GateConfig("resolution")}, "onnx"),
        ({"method": "lora"}, "torch"),
        ({"method": LoRA()}, "torch"),
        ({"gates": GateConfig("resolution", dynamic=True)}, "onnx"),
        ({"gates": GateConfig("blocks")}, "torch"),
        ({"device": "cuda:1"}, "torch"),
        ({"asked": "torch"}, "torch"),
        ({"asked": "onnx", "method": "head"}, "onnx"),
    ],
)
def test_the_first_that_can(wanted: dict[str, Any], chosen: str) -> None:
    assert choose_engine(**{"backbone": BACKBONE, **wanted}) == chosen


@pytest.mark.parametrize(
    ("wanted", "kind", "message"),
    [
        ({"asked": "jax"}, UnknownNameError, "Unknown engine 'jax'. Known: onnx, torch."),
        ({"backbone": "resnet19"}, UnknownNameError, "Did you mean 'resnet18'?"),
        ({"method": "da4"}, UnknownNameError, "Did you mean 'da3'?"),
        (
            {"asked": "onnx", "method": "lora"},
            OptionError,
            "The engine 'onnx' has no method 'lora'. It has: bias, da3, head. "
            "Or give `engine='torch'`.",
        ),
        (
            {"asked": "onnx", "gates": GateConfig("blocks")},
            OptionError,
            "no static gates of blocks. It has: static gates of resolution, dynamic gates of "
            "resolution. Or",
        ),
        ({"asked": "onnx", "device": "cuda"}, OptionError, "no device 'cuda'. It has: cpu. Or"),
    ],
)
def test_what_cannot_be(wanted: dict[str, Any], kind: type[AddaptError], message: str) -> None:
    with pytest.raises(kind) as caught:
        choose_engine(**{"backbone": BACKBONE, **wanted})
    assert message in str(caught.value)


@pytest.mark.usefixtures("without_torch")
@pytest.mark.parametrize(
    ("wanted", "what"),
    [
        ({"asked": "torch"}, "the engine 'torch'"),
        ({"method": "finetune"}, "the method 'finetune'"),
        ({"asked": "torch", "method": "finetune"}, "the method 'finetune'"),
        ({"gates": GateConfig("blocks", dynamic=True)}, "domains with dynamic gates of blocks"),
        ({"device": "cuda"}, "the device 'cuda'"),
    ],
)
def test_what_needs_pytorch_where_it_is_not(wanted: dict[str, Any], what: str) -> None:
    with pytest.raises(MissingPackageError) as caught:
        choose_engine(**{"backbone": BACKBONE, **wanted})
    assert str(caught.value) == (
        f"PyTorch, which is not installed, is needed for {what}: pip install 'addapt[torch]'."
    )


@pytest.mark.usefixtures("without_torch")
def test_what_needs_no_pytorch_does_not_ask_for_it() -> None:
    assert choose_engine(backbone=BACKBONE, method="da3") == "onnx"
    with pytest.raises(OptionError, match="no method 'lora'"):  # and not: install PyTorch
        choose_engine("onnx", backbone=BACKBONE, method="lora")
