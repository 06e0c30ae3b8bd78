"""Libraries are imported beside a PyTorch that their operators were not built for."""

import sys
from pathlib import Path

import pytest
import torch

from addapt.engines.torch.backbones import vision_libraries
from addapt.engines.torch.backbones.vision_libraries import import_library

NEEDS = 'import torch\ntorch.library.register_fake("torchvision::nms")(lambda *_: None)\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_operators_are_declared_where_they_are_missing(folder: Path) -> None:
    (folder / "needing_operators.py").write_text(NEEDS)
    import_library("torchvision")
    assert hasattr(torch.ops.torchvision, "nms")
    assert import_library("needing_operators").__name__ == "needing_operators"


def test_other_errors_are_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "broken_library.py").write_text('raise RuntimeError("it is broken")\n')
    monkeypatch.setattr(vision_libraries, "_library", None)
    with pytest.raises(RuntimeError, match="it is broken"):
        import_library("broken_library")
    with pytest.raises(ImportError):
        import_library("no_such_library")
    assert "broken_library" not in sys.modules
