"""Names in other programs' files, and ours."""

from addapt.backbones import IMAGENET_INPUT, network
from addapt.backbones.names import renaming
from addapt.backbones.resnets import resnet


def test_names_of_the_packages() -> None:
    ours = {
        "_conv_stem.weight": "stem.conv.weight",
        "_bn0.running_mean": "stem.bn.running_mean",
        "_blocks.0._depthwise_conv.weight": "blocks.0.depthwise.conv.weight",
        "_blocks.0._bn1.bias": "blocks.0.depthwise.bn.bias",
        "_blocks.0._project_conv.weight": "blocks.0.project.conv.weight",
        "_blocks.0._bn2.running_var": "blocks.0.project.bn.running_var",
        "_blocks.12._expand_conv.weight": "blocks.12.expand.conv.weight",
        "_blocks.12._bn0.weight": "blocks.12.expand.bn.weight",
        "_conv_head.weight": "tail.0.conv.weight",
        "_bn1.weight": "tail.0.bn.weight",
        "_fc.weight": None,
        "_fc.bias": None,
        # what is nobody's stays as it is
        "_blocks.0._expand_conv.weight": "_blocks.0._expand_conv.weight",
        "_blocks.16._bn0.weight": "_blocks.16._bn0.weight",
    }
    rename = renaming(network("efficientnet_lite0"))
    assert {name: rename(name) for name in ours} == ours


def test_names_of_timm_count_blocks_by_stages() -> None:
    # repeats 1, 3, 3, 4, 4, 5, 1
    ours = {
        "conv_stem.weight": "stem.conv.weight",
        "bn2.bias": "tail.0.bn.bias",
        "blocks.0.0.conv_pw.weight": "blocks.0.project.conv.weight",
        "blocks.1.2.conv_dw.weight": "blocks.3.depthwise.conv.weight",
        "blocks.2.0.bn3.bias": "blocks.4.project.bn.bias",
        "blocks.6.0.conv_pw.weight": "blocks.20.expand.conv.weight",
        "classifier.weight": None,
        # a block that the stage does not have stays unknown, and does not become another's
        "blocks.1.3.conv_dw.weight": "blocks.1.3.conv_dw.weight",
        "blocks.7.0.conv_dw.weight": "blocks.7.0.conv_dw.weight",
    }
    rename = renaming(network("efficientnet_lite1"))
    assert {name: rename(name) for name in ours} == ours


def test_names_of_torchvision() -> None:
    ours = {
        "features.0.0.weight": "stem.conv.weight",
        "features.0.1.running_mean": "stem.bn.running_mean",
        "features.1.conv.0.0.weight": "blocks.0.depthwise.conv.weight",
        "features.1.conv.0.1.bias": "blocks.0.depthwise.bn.bias",
        "features.1.conv.1.weight": "blocks.0.project.conv.weight",
        "features.1.conv.2.running_var": "blocks.0.project.bn.running_var",
        "features.17.conv.0.0.weight": "blocks.16.expand.conv.weight",
        "features.17.conv.0.1.bias": "blocks.16.expand.bn.bias",
        "features.17.conv.1.0.weight": "blocks.16.depthwise.conv.weight",
        "features.17.conv.1.1.bias": "blocks.16.depthwise.bn.bias",
        "features.17.conv.2.weight": "blocks.16.project.conv.weight",
        "features.17.conv.3.bias": "blocks.16.project.bn.bias",
        "features.18.0.weight": "tail.0.conv.weight",
        "features.18.1.bias": "tail.0.bn.bias",
        "classifier.1.weight": None,
        # what is nobody's stays as it is
        "features.1.conv.3.weight": "features.1.conv.3.weight",
        "features.19.0.weight": "features.19.0.weight",
        "blocks.0.0.conv_pwl.weight": "blocks.0.0.conv_pwl.weight",
    }
    rename = renaming(network("mobilenet_v2"))
    assert {name: rename(name) for name in ours} == ours


def test_names_of_resnets() -> None:
    ours = {
        "conv1.weight": "stem.0.conv.weight",
        "layer1.0.conv1.weight": "blocks.0.residual.0.conv.weight",
        "layer2.1.bn2.bias": "blocks.3.residual.1.bn.bias",
        "layer2.0.downsample.0.weight": "blocks.2.shortcut.conv.weight",
        "layer2.0.downsample.1.bias": "blocks.2.shortcut.bn.bias",
        "fc.weight": None,
        "layer1.0.downsample.0.weight": "layer1.0.downsample.0.weight",
        "layer1.0.conv3.weight": "layer1.0.conv3.weight",
        "layer2.2.bn2.bias": "layer2.2.bn2.bias",
        "layer5.0.conv1.weight": "layer5.0.conv1.weight",
        "layer0.0.conv1.weight": "layer0.0.conv1.weight",
    }
    rename = renaming(resnet("resnet", IMAGENET_INPUT, "basic", (2, 2, 2, 2)))
    assert {name: rename(name) for name in ours} == ours


def test_our_own_names_are_known() -> None:
    described = network("resnet50")
    rename = renaming(described)
    assert all(rename(name) == name for name in described.shapes())
