"""DA3's shifts of inner channels: what they add, where, and that all of it is trained."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from addapt.backbones import BackboneInfo, BlockInfo, InputInfo
from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.freezing import FrozenConv2d
from addapt.engines.torch.methods import AdaptedModel, attach
from addapt.engines.torch.methods.bias import Shifts
from addapt.engines.torch.methods.da3 import AdditiveAdaptor, AdditiveAttention
from addapt.engines.torch.ops.conv import ConvGeometry
from addapt.engines.torch.ops.grid import add_grid, square_side
from addapt.methods import DA3
from tests.engines.torch.gates.small_backbones import KINDS, small_backbone
from tests.engines.torch.methods.plain_twins import move_all

METHOD = DA3(first_block=1, grid=3)


def attentions(model: AdaptedModel) -> list[AdditiveAttention]:
    assert isinstance(model.adaptor, AdditiveAdaptor)
    return [layer for layer in model.adaptor.attentions if isinstance(layer, AdditiveAttention)]


def first_layer(backbone: Backbone, place: int) -> str:
    return backbone.info.blocks[place].inner_layers[0]


def first_inner(backbone: Backbone, place: int) -> FrozenConv2d:
    conv = backbone.blocks[place].get_submodule(first_layer(backbone, place))
    assert isinstance(conv, FrozenConv2d)
    return conv


def images(side: int = 40) -> Tensor:
    generator = torch.Generator().manual_seed(4)
    return torch.randn(3, 3, side, side, generator=generator)


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_inner_convolution_is_shifted_before_its_activation(kind: str) -> None:
    backbone = small_backbone(kind)
    model = attach(backbone, METHOD, 3).eval()
    move_all(model, 0.3)
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def note(name: str, layer: nn.Module) -> None:
        layer.register_forward_hook(
            lambda layer, inputs, y: seen.update({name: (inputs[0].clone(), y.clone())})
        )

    own = attentions(model)
    assert own[0].inner is None, "beside the first adaptor the block needs no backward"
    for place, attention in enumerate(own[1:], 2):
        assert attention.inner is not None
        note(f"tiles {place}", attention.inner)
        note(f"inner {place}", first_inner(backbone, place))
    model(images())
    assert len(seen) == 2 * (len(own) - 1) > 0
    assert isinstance(model.adaptor, AdditiveAdaptor)
    for place, shifts in enumerate(list(model.adaptor.shifts)[1:], 2):
        assert isinstance(shifts, Shifts)
        x, y = seen[f"inner {place}"]
        grid = seen[f"tiles {place}"][1]
        conv = first_inner(backbone, place)
        assert max(grid.shape[2:]) == 3 < max(y.shape[2:])
        bias = shifts.applied_to(backbone.blocks[place])[f"{first_layer(backbone, place)}.bias"]
        side = -(-y.shape[2] // 3)
        spread = grid.repeat_interleave(side, 2).repeat_interleave(side, 3)
        z = F.conv2d(x, conv.plain_weight(), bias, *conv.geometry[:4])
        z = z + spread[:, :, : y.shape[2], : y.shape[3]]
        assert conv.geometry.activation in ("relu", "relu6")
        expected = z.relu() if conv.geometry.activation == "relu" else z.clamp(0, 6)
        torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-4)
        assert conv.tiles is None, "the backbone is as it was"


def test_without_them_there_is_none() -> None:
    model = attach(small_backbone(), DA3(first_block=1, inner=False), 3)
    assert all(attention.inner is None for attention in attentions(model))
    assert not [name for name in model.domain_state() if ".inner." in name]


def test_a_plain_backbone_of_ones_own_that_takes_no_tiles_has_none() -> None:
    block = nn.Sequential(nn.Conv2d(4, 8, 1), nn.ReLU(), nn.Conv2d(8, 4, 1))
    described = BlockInfo(4, 4, 1, False, inner_layers=("0", "2"))
    info = BackboneInfo("own", InputInfo(8, (0.5,) * 3, (0.5,) * 3, "bicubic"), 4, (described,) * 2)
    tail = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    own = Backbone(nn.Conv2d(3, 4, 1), [block, copy.deepcopy(block)], tail, info)
    model = attach(own, DA3(first_block=0), 3)
    assert all(attention.inner is None for attention in attentions(model))
    assert model(torch.zeros(2, 3, 8, 8)).shape == (2, 3)
    lean = attach(own.lean(), DA3(first_block=0), 3)
    assert [attention.inner is None for attention in attentions(lean)] == [True, False]


def test_where_a_square_is_one_element_the_shortcut_is_a_low_rank_update_of_the_weight() -> None:
    backbone = small_backbone("bottleneck")
    model = attach(backbone, DA3(first_block=0, grid=64), 3).eval()
    attention = attentions(model)[1]
    assert attention.inner is not None
    for parameter in attention.parameters():
        nn.init.zeros_(parameter)  # what is not linear among the hidden features is zero
    generator = torch.Generator().manual_seed(2)
    for layer in (attention.squeeze, attention.inner):
        nn.init.normal_(layer.weight, std=0.1, generator=generator)
    up, down = (layer.weight[..., 0, 0] for layer in (attention.inner, attention.squeeze))
    x = images()
    adapted = model.adaptor(backbone, x)
    conv = first_inner(backbone, 1)
    assert conv.weight is not None and conv.weight.shape[2:] == (1, 1)
    before = backbone(x)
    conv.weight.data += (up @ down)[..., None, None]
    assert not torch.equal(before, adapted)
    torch.testing.assert_close(adapted, backbone(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "grid", "side"),
    [
        *(((12, 12), (6, 6), 2), ((7, 5), (3, 2), 3), ((1, 1), (1, 1), 1)),
        *(((6, 6), (4, 4), None), ((3, 9), (3, 3), None), ((4, 4), (5, 5), None)),
    ],
)
def test_side_of_squares(size: tuple[int, int], grid: tuple[int, int], side: int | None) -> None:
    assert square_side(torch.Size(size), torch.Size(grid)) == side
    y, small = torch.zeros(1, 2, *size), torch.rand(1, 2, *grid)
    result = add_grid(y, small)
    assert result.shape == y.shape and result.any()
    if side is not None:
        spread = small.repeat_interleave(side, 2).repeat_interleave(side, 3)
        assert torch.equal(result, spread[..., : size[0], : size[1]])


@pytest.mark.parametrize("side", [4, 6])
@pytest.mark.parametrize("broadcast", [False, True])
def test_a_frozen_convolution_adds_tiles_whether_squares_fit_or_not(
    side: int, broadcast: bool
) -> None:
    generator = torch.Generator().manual_seed(1)
    weight, bias = torch.randn(5, 2, 1, 1, generator=generator), torch.randn(5, generator=generator)
    conv = FrozenConv2d(weight, bias, ConvGeometry(activation="relu"))
    x = torch.randn(2, 2, 6, 6, generator=generator)
    residual = torch.randn(2, 5, *((1, 1) if broadcast else (6, 6)), generator=generator)
    grid = torch.randn(2, 5, side, side, generator=generator, requires_grad=True)
    y = torch.func.functional_call(conv, {"tiles": grid}, (x, residual))
    expected = (add_grid(F.conv2d(x, weight, bias), grid) + residual).relu()
    torch.testing.assert_close(y, expected)
    cotangent = torch.randn(y.shape, generator=generator)
    (ours,) = torch.autograd.grad(y, grid, cotangent)
    (theirs,) = torch.autograd.grad(expected, grid, cotangent)
    torch.testing.assert_close(ours, theirs)
    assert "tiles" not in conv.state_dict()
