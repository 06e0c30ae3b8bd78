"""The engine on the backbone that is there by default, and the same on PyTorch."""

import pytest

from addapt.engines import open_engine
from addapt.engines.onnx.engine import OnnxEngine
from addapt.engines.torch.engine import TorchEngine
from addapt.methods import DA3

LATE = DA3(first_block=14)  # beside the last two blocks: a small graph


@pytest.fixture(scope="session")
def _opened() -> OnnxEngine:
    engine = open_engine("efficientnet_lite0", engine="onnx")
    assert isinstance(engine, OnnxEngine)
    return engine


@pytest.fixture
def engine(_opened: OnnxEngine) -> OnnxEngine:
    """Return an engine with one thread; sessions of earlier tests may still be there."""
    _opened.threads = 1
    return _opened


@pytest.fixture(scope="session")
def torch_engine() -> TorchEngine:
    engine = open_engine("efficientnet_lite0", engine="torch")
    assert isinstance(engine, TorchEngine)
    return engine
