"""TinyTL: lite residuals by hand and by formula, what they keep, what is refused."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.memory import KeptTensors
from addapt.engines.torch.methods import attach
from addapt.engines.torch.methods.lite_residual import LiteResidual, add_spread
from addapt.methods import Bias, TinyTL
from tests.engines.torch.gates.small_backbones import small_backbone
from tests.engines.torch.methods.test_da3 import randomised


def test_a_residual_by_hand() -> None:
    residual = LiteResidual(4, 2, TinyTL())
    assert not residual(torch.randn(2, 4, 3, 3)).any()  # nothing at the start
    with torch.no_grad():
        residual.norm_in.weight.zero_()
        residual.norm_in.bias.fill_(1.0)  # all 8 hidden channels are 1
        residual.conv_out.weight.copy_(
            torch.tensor([1.0, 0.0])[:, None, None, None].expand(2, 8, 1, 1)
        )
        # The two channels are 8 and 0, which the norm makes 1 and -1.
        residual.norm_out.weight.copy_(torch.tensor([3.0, 5.0]))
        residual.norm_out.bias.copy_(torch.tensor([0.0, 0.5]))
        small = residual(torch.randn(1, 4, 2, 2))
        y = add_spread(torch.full((1, 2, 3, 4), 10.0), small, torch.zeros(1))
    expected = torch.tensor([13.0, 5.5])[None, :, None, None].expand(1, 2, 3, 4)
    torch.testing.assert_close(y, expected)


@pytest.mark.parametrize("biases", [True, False])
def test_the_model_is_the_formula_of_the_docstring(tiny_backbone: Backbone, biases: bool) -> None:
    model = attach(tiny_backbone.double(), TinyTL(biases=biases), classes=2)
    assert any("shifts" in name for name in model.domain_state()) == biases
    residuals = model.adaptor.get_submodule("residuals")
    randomised(residuals)
    x = torch.randn(2, 3, 36, 28, dtype=torch.float64)
    features = model.features(x)
    x = tiny_backbone.stem(x)
    for block, residual in zip(tiny_backbone.blocks, residuals.children(), strict=True):
        assert isinstance(residual, LiteResidual)
        p = F.avg_pool2d(x, 2, ceil_mode=True)
        hidden = F.relu(residual.norm_in(residual.conv_in(p)))
        small = residual.norm_out(residual.conv_out(hidden))
        x = block(x)
        spread = small.repeat_interleave(2, 2).repeat_interleave(2, 3)
        x = x + spread[:, :, : x.shape[2], : x.shape[3]]
    torch.testing.assert_close(features, tiny_backbone.tail(x), rtol=1e-10, atol=1e-12)


def test_layers_are_those_of_the_source_and_wide_ones_stay_small() -> None:
    narrow = LiteResidual(192, 320, TinyTL())
    assert (narrow.conv_in.groups, narrow.conv_in.out_channels) == (2, 192)
    assert (narrow.norm_in.num_groups, narrow.norm_out.num_groups) == (24, 40)
    wide = LiteResidual(2048, 2048, TinyTL())
    assert (wide.conv_in.groups, wide.conv_in.out_channels) == (32, 192)
    assert sum(p.numel() for p in wide.parameters()) < 1_000_000
    image = LiteResidual(3, 16, TinyTL())
    assert (image.conv_in.groups, image.conv_in.out_channels) == (1, 8)


def test_without_residuals_it_is_bias() -> None:
    backbone = small_backbone()
    tinytl, bias = (attach(backbone, method, 2).domain_state() for method in (TinyTL(), Bias()))
    assert {name for name in tinytl if "residuals" not in name} == set(bias)


def test_a_block_with_a_border_of_its_own() -> None:
    y, small = torch.zeros(1, 2, 5, 5), torch.randn(1, 2, 4, 4)
    torch.testing.assert_close(add_spread(y, small, torch.zeros(1)), F.interpolate(small, (5, 5)))


def test_kept_bytes_are_those_of_bias_and_of_the_residuals() -> None:
    backbone = small_backbone("basic")
    x = torch.randn(2, 3, 64, 64)
    model = attach(backbone, TinyTL(), classes=2)
    expected = 0

    def count(layer: nn.Module, args: tuple[Tensor], output: Tensor) -> None:
        nonlocal expected
        (p,) = args
        assert isinstance(layer, LiteResidual)
        n, c_out = output.shape[:2]
        hidden = layer.conv_in.out_channels
        grid = output.shape[2:].numel()
        expected += 4 * p.numel() + 4 * n * (2 * hidden + c_out) * grid
        expected += -(-n * hidden * grid // 8)
        expected += 8 * n * (layer.norm_in.num_groups + layer.norm_out.num_groups)

    for residual in model.adaptor.get_submodule("residuals").children():
        residual.register_forward_hook(count)
    with KeptTensors(model) as kept:
        model(x)
    bias_model = attach(backbone, Bias(), classes=2)
    with KeptTensors(bias_model) as kept_by_bias:
        bias_model(x)
    assert kept.peak_bytes == expected + kept_by_bias.peak_bytes
