"""Training loops of other libraries: the examples of docs/OWN_NETWORKS.md, executed."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from addapt.engines.torch.backbones import load_backbone
from addapt.engines.torch.backbones.vision_libraries import import_library
from addapt.engines.torch.methods import AdaptedModel, attach
from addapt.methods import build_method

PAGE = Path(__file__).parents[3] / "docs" / "OWN_NETWORKS.md"
CLASSES, PX = 3, 32


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def model() -> AdaptedModel:
    torch.manual_seed(0)
    return attach(load_backbone("resnet18", "random"), build_method("da3"), CLASSES)


def loader() -> DataLoader[tuple[Tensor, ...]]:
    images = torch.randn(4, 3, PX, PX, generator=torch.Generator().manual_seed(0))
    return DataLoader(TensorDataset(images, torch.arange(4) % CLASSES), batch_size=2)


def execute(word: str, **names: Any) -> dict[str, Any]:
    """Execute the example that has this word, with names that it takes as given."""
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (code,) = (example for example in examples if word in example)
    names["torch"] = torch
    exec(compile(code, str(PAGE), "exec"), names)
    return names


def copy(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in state.items()}


def differ(state: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    assert state.keys() == other.keys()
    return [name for name, tensor in state.items() if not torch.equal(tensor, other[name])]


@pytest.mark.filterwarnings(
    "ignore::FutureWarning",  # of the library's own calls of PyTorch
    "ignore:Found .* module.* in eval mode",  # as the page says
    "ignore:.*does not have many workers",
    "ignore:Checkpoint directory",
)
def test_lightning_saves_the_domain_alone_and_goes_on_with_it(tmp_path: Path) -> None:
    import_library("torchvision")  # which Lightning imports where it is installed
    lightning = pytest.importorskip("pytorch_lightning")
    teaching = execute("LightningModule")["Teaching"]

    def fit(taught: AdaptedModel, epochs: int, path: Path | None = None) -> Any:
        trainer = lightning.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
        )
        trainer.fit(teaching(taught), loader(), ckpt_path=path)
        return trainer

    twice = model()
    fit(twice, 2)
    once = model()
    before = copy(once.domain_state())
    path = Path(fit(once, 1).checkpoint_callback.best_model_path)
    assert differ(before, once.domain_state())
    saved = torch.load(path, weights_only=True)
    assert not differ(saved["state_dict"], once.domain_state())
    backbone_bytes = sum(p.numel() * p.element_size() for p in once.backbone.parameters())
    assert path.stat().st_size < backbone_bytes / 10

    going_on = model()
    assert fit(going_on, 2, path).global_step == 4
    assert not differ(going_on.domain_state(), twice.domain_state())


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_accelerate() -> None:
    pytest.importorskip("accelerate")
    taught = model()
    before = copy(taught.domain_state())
    frozen = copy(taught.backbone.state_dict())
    execute("accelerate", model=taught, loader=loader())
    saved = torch.load("leaves.pt", weights_only=True)
    assert differ(before, saved)
    assert not differ(taught.backbone.state_dict(), frozen)
    other = model()
    other.load_domain_state(saved)
    assert not differ(other.domain_state(), saved)
