"""The backbones by name: sizes, descriptions, and where their weights come from."""

from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from addapt._errors import OptionError, UnknownNameError, WeightsError
from addapt.backbones import BACKBONES, InputInfo, network
from addapt.backbones.random_weights import random_weights
from addapt.backbones.weights import folded, load_weights
from addapt.engines.torch.backbones import (
    Backbone,
    load_backbone,
    load_classifier,
    weights_sha256,
)
from addapt.engines.torch.backbones.block_check import check_description
from addapt.engines.torch.backbones.conv_bn import ConvBn
from addapt.engines.torch.backbones.registry import fill, unfilled_backbone
from tests.engines.torch.backbones.reference_networks import images
from tests.families import EVERY


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_is_what_its_description_says(name: str) -> None:
    backbone, described = unfilled_backbone(name), network(name)
    # The order of tensors counts, too: domain files depend on it.
    shapes = [
        (key, tuple(tensor.shape))
        for key, tensor in backbone.state_dict().items()
        if not key.endswith("num_batches_tracked")
    ]
    assert shapes == list(described.shapes().items())
    assert backbone.info == described.info
    for layer in described.layers():
        built = backbone.get_submodule(layer.name)
        assert isinstance(built, ConvBn)
        conv = built.conv
        assert (conv.kernel_size[0], conv.stride[0]) == (layer.kernel, layer.stride)
        assert (conv.groups, built.bn.eps) == (layer.groups, layer.bn_eps)
        assert type(built[-1]).__name__.lower() == (
            "batchnorm2d" if layer.activation == "none" else layer.activation
        )
    check_description(backbone.stem, list(backbone.blocks), backbone.tail, backbone.info)


@pytest.fixture(scope="module", params=EVERY)
def backbone(request: pytest.FixtureRequest) -> Backbone:
    return load_backbone(request.param, "random", plain=True)


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


def imagenet_images(info: InputInfo) -> tuple[Tensor, Tensor]:
    """20 images and their classes, which stand in the file names: imagenet_NN_CLASS.jpg."""
    foolbox = distribution("foolbox")
    paths = [Path(str(foolbox.locate_file(file))) for file in foolbox.files or []]
    paths = [path for path in paths if path.match("data/imagenet_*.jpg")]
    assert len(paths) == 20
    pixels = []
    for path in paths:
        with Image.open(path) as image:
            resized = image.convert("RGB").resize((info.px, info.px), Image.Resampling.BICUBIC)
        pixels.append(torch.from_numpy(np.array(resized)).permute(2, 0, 1) / 255)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (info.mean, info.std))
    classes = torch.tensor([int(path.stem.split("_")[-1]) for path in paths])
    return (torch.stack(pixels) - mean) / std, classes


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("efficientnet_lite0", 17),
        pytest.param("efficientnet_lite1", 19, marks=pytest.mark.slow),
        pytest.param("efficientnet_lite2", 18, marks=pytest.mark.slow),
    ],
)
def test_imagenet_weights_are_the_default_and_recognise_images(name: str, known: int) -> None:
    before = torch.random.get_rng_state()
    backbone, classifier = load_backbone(name, plain=True), load_classifier(name)
    assert torch.equal(torch.random.get_rng_state(), before)
    loaded = load_weights(name)
    assert (backbone.info.weights, backbone.info.weights_sha256) == (loaded.source, loaded.sha256)
    assert weights_sha256(backbone) == loaded.sha256
    assert not any(t.is_meta for t in backbone.state_dict().values())
    assert backbone.get_buffer("stem.bn.num_batches_tracked") == 0
    assert not any(p.requires_grad for p in (*backbone.parameters(), *classifier.parameters()))
    assert (classifier.in_features, classifier.out_features) == (1280, 1000)
    x, classes = imagenet_images(backbone.info.input)
    assert int((classifier(backbone(x)).argmax(1) == classes).sum()) >= known


def test_random_weights_leave_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    backbone = load_backbone("mobilenet_v2", seed=3, plain=True)
    assert torch.equal(torch.random.get_rng_state(), before)
    loaded = load_weights("mobilenet_v2", seed=3)
    assert (backbone.info.weights, backbone.info.weights_sha256) == (loaded.source, loaded.sha256)
    assert weights_sha256(backbone) == loaded.sha256


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("efficientnet_lite0", ".pth"), ("mobilenet_v2", ".safetensors"), ("resnet18", ".pth")],
)
def test_the_same_weights_from_a_file_are_the_same_backbone(
    name: str, suffix: str, tmp_path: Path
) -> None:
    backbone = load_backbone(name, "random", seed=5, plain=True)
    path = tmp_path / f"mine{suffix}"
    state = {name: tensor.contiguous() for name, tensor in backbone.state_dict().items()}
    (torch.save if suffix == ".pth" else save_file)(state, path)
    loaded = load_backbone(name, path, plain=True)
    path.unlink()  # what was loaded no longer needs its file
    assert loaded.info.weights == f"file mine{suffix}"
    assert loaded.info.weights_sha256 == backbone.info.weights_sha256
    assert torch.equal(loaded(images()), backbone(images()))


def test_an_unknown_backbone_is_refused() -> None:
    for load in (load_backbone, load_classifier):
        with pytest.raises(UnknownNameError):
            load("vgg16")


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(OptionError, match="device 'toaster' cannot be used"):
        load_backbone("mobilenet_v2", device="toaster")


def test_there_is_no_classifier_without_published_weights() -> None:
    with pytest.raises(WeightsError, match="resnet50.*efficientnet_lite0"):
        load_classifier("resnet50")


def test_a_lean_backbone_computes_what_the_plain_one_does(backbone: Backbone) -> None:
    plain = backbone
    lean = load_backbone(plain.info.name, "random")
    assert lean.info == plain.info
    assert lean.is_lean and not plain.is_lean
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in lean.modules())
    x = torch.randn(2, 3, 96, 65)
    with torch.no_grad():
        expected = plain(x)
        assert 0.1 < expected.std() < 100  # the signal neither dies out nor explodes
        assert (lean(x) - expected).abs().max() <= 1e-5 * expected.abs().max()
        # by default nothing of the plain one is used up
        torch.testing.assert_close(plain.lean()(x), lean(x), rtol=0, atol=0)
        assert torch.equal(plain(x), expected)


@pytest.mark.parametrize("name", EVERY)
def test_folding_without_pytorch_is_the_same(name: str) -> None:
    described, rng = network(name), np.random.default_rng(0)
    tensors = random_weights(described, seed=0)
    for key, tensor in tensors.items():
        if ".bn." in key:
            tensor += rng.uniform(0, 1, tensor.shape).astype(np.float32)
    layers = list(folded(described, tensors))
    backbone = unfilled_backbone(name)
    fill(backbone, tensors)
    state = backbone.lean(consume=True).state_dict()
    for layer, *arrays in layers:
        for part, array in zip(("weight", "bias"), arrays, strict=True):
            expected = state[f"{layer.name}.conv.{part}"]
            torch.testing.assert_close(torch.from_numpy(array), expected, rtol=1e-6, atol=1e-7)


def test_the_plain_form_of_a_lean_backbone_is_loaded_again() -> None:
    lean, plain = (load_backbone("mobilenet_v2", seed=3, plain=plain) for plain in (False, True))
    for copied in (lean.plain_copy(), plain.plain_copy()):
        assert copied is not plain
        ours, theirs = copied.state_dict(), plain.state_dict()
        assert all(torch.equal(tensor, ours[name]) for name, tensor in theirs.items())
    with pytest.raises(OptionError, match=r"mobilenet_v2 has its batch norms folded.*before lean"):
        plain.lean().plain_copy()  # made by hand: nobody knows where its weights came from
