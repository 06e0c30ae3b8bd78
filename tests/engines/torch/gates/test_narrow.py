"""Narrow blocks: the same as whole ones whose other channels say nothing."""

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from addapt._errors import OptionError
from addapt.engines.torch.freezing import FrozenConv2d
from addapt.engines.torch.gates.narrow import NarrowBlock
from tests.conftest import TinyBlock
from tests.engines.torch.gates.small_backbones import small_backbone

KINDS = ("inverted", "bottleneck", "basic")


def silenced(block: torch.nn.Module, layers: tuple[str, ...], kept: Tensor) -> dict[str, Tensor]:
    """Return weights of a block whose last layer does not listen to the other inner channels."""
    last = block.get_submodule(layers[-1])
    assert isinstance(last, FrozenConv2d)
    weight = torch.zeros_like(last.plain_weight())
    weight[:, kept] = last.plain_weight()[:, kept]
    weights = {f"{layers[-1]}.weight": weight}
    # Between them full convolutions hear each other's channels.
    for name in layers[1:-1]:
        conv = block.get_submodule(name)
        assert isinstance(conv, FrozenConv2d)
        if conv.geometry.groups == 1:
            weight = torch.zeros_like(conv.plain_weight())
            weight[:, kept] = conv.plain_weight()[:, kept]
            weights[f"{name}.weight"] = weight
    return weights


@pytest.mark.parametrize("kind", KINDS)
def test_the_other_channels_are_left_out(kind: str) -> None:
    backbone = small_backbone(kind).double()
    for block, info in zip(backbone.blocks, backbone.info.blocks, strict=True):
        if not info.inner_layers:
            continue
        inner = int(block.get_submodule(info.inner_layers[-1]).in_channels)  # type: ignore[arg-type]
        kept = torch.randperm(inner)[: inner // 4].sort().values
        narrow = NarrowBlock(block, info.inner_layers, kept)
        weights = silenced(block, info.inner_layers, kept)
        first = f"{info.inner_layers[0]}.bias"
        bias = block.get_parameter(first).detach().clone().requires_grad_()
        x = torch.randn(2, info.in_channels, 8, 8, dtype=torch.float64, requires_grad=True)
        y = narrow(x, {first: bias})
        expected = functional_call(block, {**weights, first: bias}, (x,))
        torch.testing.assert_close(y, expected, rtol=1e-10, atol=1e-12)
        cotangent = torch.randn_like(y)
        for ours, theirs in zip(
            torch.autograd.grad(y, (x, bias), cotangent),
            torch.autograd.grad(expected, (x, bias), cotangent),
            strict=True,
        ):
            torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_with_all_channels_it_is_the_block_itself(kind: str) -> None:
    backbone = small_backbone(kind)
    block, info = backbone.blocks[-1], backbone.info.blocks[-1]
    inner = int(block.get_submodule(info.inner_layers[-1]).in_channels)  # type: ignore[arg-type]
    x = torch.randn(2, info.in_channels, 8, 8)
    narrow = NarrowBlock(block, info.inner_layers, torch.arange(inner))
    assert torch.equal(narrow(x, {}), block(x))


def test_a_block_that_is_not_lean() -> None:
    with pytest.raises(OptionError, match=r"lean backbone's blocks only.*load_backbone"):
        NarrowBlock(TinyBlock(8, 8, 1), ("conv",), torch.arange(2))
