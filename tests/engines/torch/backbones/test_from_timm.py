"""Networks of timm by name; a library of one network stands in for it where it is not installed."""

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from addapt import DA3, Finetune, Learner, attach, load_backbone
from addapt._errors import MissingPackageError, OptionError, UnknownNameError, WeightsError
from addapt.backbones import check_backbone
from addapt.engines import native_px
from addapt.engines.choosing import choose_engine
from addapt.engines.torch.backbones import from_timm
from addapt.engines.torch.backbones.from_timm import MOST_LIKE
from addapt.engines.torch.engine import hollow_backbone
from addapt.engines.torch.memory import audit_backbone, audit_method
from tests.conftest import MakeFolder
from tests.engines.torch.backbones.library_timm import NAME, PX, stand_in
from tests.engines.torch.backbones.test_backbone_of import MobileNet, build


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)


@pytest.mark.usefixtures("timm")
def test_weights_and_where_they_came_from(tmp_path: Path) -> None:
    first, same, other = (load_backbone(NAME, "random", seed=seed) for seed in (1, 1, 2))
    assert first.info == same.info
    assert first.info.weights_sha256 != other.info.weights_sha256
    assert (first.info.name, first.info.weights) == (NAME, "random (seed 1)")
    network = build(MobileNet, seed=3)
    save_file(network.state_dict(), tmp_path / "mine.safetensors")
    mine = load_backbone(NAME, tmp_path / "mine.safetensors")
    assert mine.info.weights == "file mine.safetensors"
    network.classifier = nn.Identity()
    x = torch.randn(2, 3, 32, 32)
    assert torch.allclose(mine(x), network(x), atol=1e-5)


@pytest.mark.usefixtures("timm")
def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    state = MobileNet().state_dict()
    file = tmp_path / "w.safetensors"
    save_file({key: tensor for key, tensor in state.items() if key != "bn1.bias"}, file)
    with pytest.raises(WeightsError, match=r"w\.safetensors has no 'bn1\.bias', which timm:mobile"):
        load_backbone(NAME, file)
    save_file(state | {"bn1.bias": torch.zeros(9)}, file)
    with pytest.raises(WeightsError, match=r"'bn1\.bias' of \(9,\), and timm:mobile needs \(8,\)"):
        load_backbone(NAME, file)
    with pytest.raises(WeightsError, match=r"nothing\.pth"):
        load_backbone(NAME, tmp_path / "nothing.pth")


@pytest.mark.usefixtures("timm")
def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"timm:mobil\b.*timm:mobile") as unknown:
        load_backbone("timm:mobil")
    assert str(unknown.value).count("timm:") <= 2 + MOST_LIKE


def test_without_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingPackageError, match=r"needs timm.*pip install 'addapt\[timm\]'"):
        load_backbone(NAME)


def test_a_timm_that_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> None:
        raise RuntimeError("compiled for another machine")

    monkeypatch.setattr(from_timm, "import_library", broken)
    with pytest.raises(MissingPackageError, match="cannot be imported.*for another machine"):
        load_backbone(NAME)


@pytest.mark.usefixtures("timm")
def test_fine_tuning_loads_it_plain_and_shapes_need_no_weights() -> None:
    backbone = load_backbone(NAME)
    model = attach(backbone, Finetune(), 2)
    x = torch.randn(2, 3, 32, 32)
    assert torch.allclose(model.eval().features(x), backbone(x), atol=1e-5)
    hollow = hollow_backbone(backbone)
    with torch.device("meta"):
        hollow_model = attach(hollow, Finetune(), 2)
    forms = {name: tensor.shape for name, tensor in model.domain_state().items()}
    assert {name: t.shape for name, t in hollow_model.domain_state().items()} == forms


@pytest.mark.usefixtures("timm")
def test_the_side_of_its_images() -> None:
    assert native_px(NAME) == PX
    assert native_px("timm:other") == 224  # which says nothing
    with pytest.raises(UnknownNameError, match="timm:mobile"):
        native_px("timm:mobil")


@pytest.mark.usefixtures("timm")
def test_audits() -> None:
    plain, frozen = audit_backbone(NAME, image_px=32)
    assert sum(row.kept_bytes for row in frozen) * 5 < sum(row.kept_bytes for row in plain)
    assert sum(row.kept_bytes for row in audit_method(NAME, DA3(), image_px=32))


def test_names_are_known_before_an_engine_is_opened() -> None:
    check_backbone(NAME)
    assert choose_engine(backbone=NAME) == "torch"
    with pytest.raises(OptionError, match="'onnx' has no backbone 'timm:mobile'"):
        choose_engine("onnx", backbone=NAME)
    with pytest.raises(UnknownNameError):
        check_backbone("tim:mobile")


@pytest.mark.usefixtures("timm")
def test_a_domain_is_learned_and_read_again(tmp_path: Path, make_folder: MakeFolder) -> None:
    folder = make_folder()
    learner = Learner(NAME, tmp_path / "domains")
    learner.learn("colours", folder, image_px=32, epochs=2, batch=6)
    assert learner.store.info("colours").backbone == NAME
    again = Learner(NAME, tmp_path / "domains")
    assert len(again.predict([folder / "red" / "0.png"], "colours")) == 1
