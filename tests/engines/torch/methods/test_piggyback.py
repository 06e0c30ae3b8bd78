"""Piggyback: masks by hand and in plain torch, one bit a weight in the file, what it keeps."""

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from addapt import Learner
from addapt._errors import DomainError
from addapt.domains import read_domain
from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.freezing import FrozenConv2d
from addapt.engines.torch.methods import attach
from addapt.engines.torch.methods.piggyback import Mask
from addapt.engines.torch.ops.conv import ConvGeometry
from addapt.learning import Controls, LearningStopped
from addapt.methods import Piggyback
from tests.conftest import MakeFolder
from tests.engines.torch.gates.small_backbones import KINDS, small_backbone
from tests.engines.torch.methods.plain_twins import (
    CLASSES,
    assert_gradients_of_plain_torch,
    kept_bytes,
    move_all,
    random_batch,
    small_convolution,
)


def test_a_mask_by_hand() -> None:
    """Weight rows (2, 3) and (4, 5), input (1, 10), bias (1, -40): (33, 14)."""
    weight = torch.tensor([[2.0, 3.0], [4.0, 5.0]])[:, :, None, None]
    convolution = FrozenConv2d(weight, torch.tensor([1.0, -40.0]), ConvGeometry(activation="relu"))
    layer = Mask(convolution, Piggyback())
    x = torch.tensor([1.0, 10.0])[None, :, None, None]
    assert layer(convolution, x).flatten().tolist() == [33, 14]
    with torch.no_grad():
        layer.mask.copy_(torch.tensor([[0.2, 0.005], [-1.0, 0.006]])[:, :, None, None])
    y = layer(convolution, x)
    assert y.flatten().tolist() == [3, 10]  # at the threshold itself a weight does not count
    # Straight through: weight times input for every mask, also of weights that do not count.
    y.sum().backward()
    assert layer.mask.grad is not None
    assert layer.mask.grad[:, :, 0, 0].tolist() == [[2, 30], [4, 50]]


def rule(layer: nn.Module, conv: nn.Conv2d, bn: nn.Module, x: Tensor) -> Tensor:
    """Mask the weight before the batch norm: the fold must not matter."""
    assert isinstance(layer, Mask)
    straight_through = (layer.mask > 5e-3).to(x.dtype) + layer.mask - layer.mask.detach()
    weight = conv.weight * straight_through
    y: Tensor = bn(F.conv2d(x, weight, None, conv.stride, conv.padding, 1, conv.groups))
    return y


mask_some = partial(move_all, by=5e-3)  # about a sixth of the weights do not count


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_plain_torch(kind: str) -> None:
    assert_gradients_of_plain_torch(kind, Piggyback(), rule, mask_some)


def test_the_file_keeps_one_bit_a_weight() -> None:
    backbone = small_backbone("basic")
    model = attach(backbone, Piggyback(), CLASSES).eval()
    mask_some(model)
    state = model.domain_state()
    stored = model.stored_state(state)
    assert stored.keys() == state.keys()
    masks = {name for name in state if name.startswith("adaptor.")}
    assert len(masks) == len(state) - 2 == 10
    for name in masks:
        assert stored[name].dtype == torch.uint8
        assert stored[name].nbytes == math.ceil(state[name].numel() / 8)
    x, _ = random_batch()
    again = attach(backbone, Piggyback(), CLASSES).eval()
    again.load_stored_state(stored)
    assert torch.equal(again(x), model(x))
    # And that gives the same file once more, from masks as far from the threshold as at first.
    for name, tensor in again.stored_state(again.domain_state()).items():
        assert torch.equal(tensor, stored[name])
    values = {value for name in masks for value in again.domain_state()[name].flatten().tolist()}
    assert sorted(values) == pytest.approx([0, 1e-2])


def test_bits_are_in_the_order_of_the_weight(tiny_backbone: Backbone) -> None:
    """Not of the memory, which differs between a network that was loaded and a copy of it."""
    model = attach(tiny_backbone.lean(), Piggyback(), CLASSES)
    name = next(iter(model.domain_state()))
    mask = model.domain_state()[name].detach()
    mask[0, 1, 0, 1] = 0
    bits = model.stored_state({name: mask})[name]
    same = mask.contiguous(memory_format=torch.channels_last)
    assert torch.equal(model.stored_state({name: same})[name], bits)
    # Of 108 elements number 10 is missing, the third bit of the second byte.
    assert bits.tolist() == [255, 255 - 4, *[255] * 11, 15]


@pytest.mark.parametrize("change", ["shorter", "longer", "unknown", "missing"])
def test_a_wrong_file_is_refused(tiny_backbone: Backbone, change: str) -> None:
    model = attach(tiny_backbone.lean(), Piggyback(), CLASSES)
    stored = model.stored_state(model.domain_state())
    name = next(iter(stored))
    bits = stored.pop(name)
    if change != "missing":
        key = name if change != "unknown" else "adaptor.other"
        stored[key] = bits[1:] if change == "shorter" else torch.cat([bits, bits])
    with pytest.raises(DomainError, match=r"missing|has shape"):
        model.load_stored_state(stored)


def test_learning_stores_bits_and_a_stopped_run_real_masks(
    tiny_backbone: Backbone,
    tmp_path: Path,
    make_folder: MakeFolder,
) -> None:
    folder, lean = make_folder(), tiny_backbone.lean()
    quick: dict[str, Any] = {"epochs": 2, "batch": 8, "image_px": 32, "lr": 0.1}
    quick |= {"name": "colours", "folder": folder, "method": "piggyback"}
    whole = Learner(lean, tmp_path / "whole")
    stored = read_domain(whole.learn(**quick).file)[1]
    masks = [tensor for name, tensor in stored.items() if name.startswith("adaptor.")]
    assert masks and all(tensor.dtype == np.uint8 for tensor in masks)
    assert any((tensor != 255).sum() > 1 for tensor in masks)  # some weights do not count
    assert whole.evaluate("colours", folder).images == 24

    parts = Learner(lean, tmp_path / "parts")
    asked = iter([False, True])
    with pytest.raises(LearningStopped):
        parts.learn(**quick, controls=Controls(should_stop=lambda: next(asked)))
    resumed = read_domain(parts.learn(**quick).file)[1]
    assert all(np.array_equal(resumed[name], stored[name]) for name in stored)


def test_masks_have_a_rate_of_their_own(tiny_backbone: Backbone) -> None:
    model = attach(tiny_backbone.lean(), Piggyback(), CLASSES)
    masks = {id(p) for p in model.adaptor.pretrained_parameters()}
    assert masks == {id(p) for p in model.adaptor.parameters()}
    assert 0 < Piggyback.recipe.backbone_lr < Piggyback.recipe.lr


@pytest.mark.parametrize("groups", [1, 4])
def test_memory(groups: int) -> None:
    convolution = small_convolution(4, 8, groups=groups)
    kept, x, y = kept_bytes(Mask(convolution, Piggyback()), convolution)
    assert kept == 4 * x + y // 8
