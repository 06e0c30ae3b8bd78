"""Networks of the real timm and torchvision: by name, and as the committed table has them."""

from pathlib import Path

import pytest
import torch
import zoo

from addapt import Learner, load_backbone
from addapt.engines import native_px
from addapt.engines.torch.backbones.vision_libraries import import_library
from tests.conftest import MakeFolder

ROWS = {row["name"]: row for row in zoo.rows_of(zoo.FILE)}
SMALL = (  # a family each, a second or two each; all others are slow
    *("timm:resnet10t", "timm:regnetx_002", "timm:lcnet_050", "timm:mnasnet_small"),
    *("timm:tinynet_e", "timm:mobilenetv4_conv_small", "timm:tf_efficientnet_lite0"),
    *("timm:convnext_atto", "timm:vit_tiny_patch16_224", "torchvision:shufflenet_v2_x1_0"),
    *("torchvision:mobilenet_v2", "torchvision:mnasnet0_5", "torchvision:resnet18"),
    *("torchvision:squeezenet1_1", "torchvision:efficientnet_b0"),
)
OTHERS = [name for name in zoo.names() if name not in SMALL]


def assert_as_committed(name: str) -> None:
    """Assert that a network computes the same as plain, and keeps what the table says."""
    row, committed = zoo.make_row(name), ROWS[name]
    assert "wrong" not in row
    keys = {"px", "eager_bytes", "kept_bytes", "kept_bytes_8bit", "blocks", "da3_kept_bytes"}
    assert {key: row.get(key) for key in keys} == {key: committed.get(key) for key in keys}
    assert zoo.is_right(row) == zoo.is_right(committed)
    if "blocks" in row:
        assert row["same_features"]
        # A network that amplifies rounding has no slope that a step could follow.
        assert zoo.foretold(row) or not zoo.is_right(row)


@pytest.mark.parametrize("name", SMALL)
def test_networks_are_as_the_table_says(name: str) -> None:
    assert_as_committed(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_all_networks_are_as_the_table_says(name: str) -> None:
    assert_as_committed(name)


def test_a_network_of_timm_by_its_name(tmp_path: Path, make_folder: MakeFolder) -> None:
    name = "timm:mobilenetv3_small_050"
    network = import_library("timm").create_model(name.removeprefix("timm:"), num_classes=0).eval()
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    backbone = load_backbone(name, tmp_path / "weights.pth")
    assert len(backbone.blocks) == 11
    x = torch.randn(2, 3, 64, 64)
    assert torch.allclose(
        backbone(x), network(x).flatten(1)[:, : backbone.info.features], atol=1e-4
    )
    learner = Learner(name, tmp_path / "domains")
    folder = make_folder()
    learner.learn("colours", folder, image_px=32, epochs=1, batch=6)
    assert (
        len(Learner(name, tmp_path / "domains").predict([folder / "red" / "0.png"], "colours")) == 1
    )


def test_sides_of_images_are_the_librarys() -> None:
    import_library("timm")
    assert native_px("timm:tf_efficientnetv2_b0") == 192
