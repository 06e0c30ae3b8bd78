"""DA3: the formula of its docstring, its gradients, its promises."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from addapt.backbones import BlockInfo
from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.methods import attach
from addapt.engines.torch.methods.da3 import AdditiveAttention, grid_factor
from addapt.engines.torch.ops.conv import frozen_conv2d
from addapt.methods import DA3
from tests.engines.torch.methods.plain_twins import kept_channels


def randomised(module: torch.nn.Module) -> torch.nn.Module:
    """Give every parameter a value: zero-initialised layers would hide the others."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    return module


PARTS = ("spatial", "channel", "shortcut")
SOME = [parts for n in (1, 2, 3) for parts in itertools.combinations(PARTS, n)]


def with_parts(*parts: str, grid: int = 4) -> DA3:
    return DA3(grid=grid, **{name: name in parts for name in PARTS})


@pytest.mark.parametrize("parts", SOME, ids="-".join)
def test_attention_is_the_formula_of_the_docstring(parts: tuple[str, ...]) -> None:
    method = with_parts(*parts)
    attention = randomised(AdditiveAttention(BlockInfo(8, 6, 2, False), method)).double()
    assert isinstance(attention, AdditiveAttention)
    x = torch.randn(2, 8, 16, 16, dtype=torch.float64)
    y = torch.randn(2, 6, 8, 8, dtype=torch.float64)
    p = x.reshape(2, 8, 4, 4, 4, 4).mean((3, 5))
    q = attention.squeeze(p)
    hidden = torch.zeros_like(q)
    if "spatial" in parts:
        assert attention.spatial is not None
        hidden += F.relu(attention.spatial(q))
    if "channel" in parts:
        assert attention.channel is not None
        hidden += F.relu(attention.channel(q.mean((2, 3))))[:, :, None, None]
    if "shortcut" in parts:
        hidden += q
    grid = attention.out(hidden)
    expected = y + grid.repeat_interleave(2, 2).repeat_interleave(2, 3)
    result = attention(x, lambda x, hidden, tiles: y.clone())
    torch.testing.assert_close(result, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("parts", SOME, ids="-".join)
def test_what_is_left_out_has_no_layer_and_the_rest_a_right_gradient(
    parts: tuple[str, ...], tiny_backbone: Backbone
) -> None:
    model = attach(tiny_backbone.lean(), with_parts(*parts, grid=2), classes=2).double()
    randomised(model)
    layers = {name.split(".")[3] for name in model.domain_state() if "attentions" in name}
    assert layers - {"squeeze", "out", "inner"} == set(parts) - {"shortcut"}
    x = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    model.train()(x).square().sum().backward()
    for name, parameter in model.domain_state().items():
        assert parameter.grad is not None and parameter.grad.any(), name


@pytest.mark.parametrize("shifted", [False, True])
def test_a_block_whose_backward_needs_its_own_output(shifted: bool) -> None:
    """It must not be overwritten, lean or not; one that nobody needs is."""
    attention = randomised(AdditiveAttention(BlockInfo(4, 4, 1, False), DA3(grid=2))).double()
    bias = torch.zeros(4, dtype=torch.float64, requires_grad=shifted)
    x = torch.randn(1, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 4, 1, 1, dtype=torch.float64)

    def with_sigmoid(x: torch.Tensor, *_: object) -> torch.Tensor:
        return frozen_conv2d(x, weight, bias).sigmoid()

    def own_input(x: torch.Tensor, *_: object) -> torch.Tensor:
        return x

    for block in (with_sigmoid, own_input):
        assert torch.autograd.gradcheck(lambda x, block=block: attention(x, block), (x,))
    outputs: list[torch.Tensor] = []

    def lean(x: torch.Tensor, *_: object) -> torch.Tensor:
        outputs.append(frozen_conv2d(x, weight, bias))
        return outputs[0]

    y = attention(x, lean)
    assert y.data_ptr() == outputs[0].data_ptr()
    before = x.detach().clone()
    with torch.no_grad():
        assert not torch.equal(attention(x, own_input), before)
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    ("side", "stride", "grid", "factor"),
    [(7, 1, 8, 1), (14, 1, 8, 2), (14, 2, 8, 1), (97, 1, 8, 13), (97, 2, 8, 7), (1, 1, 1, 1)],
)
def test_the_grid_is_at_most_so_large(side: int, stride: int, grid: int, factor: int) -> None:
    assert grid_factor((side, 1), stride, grid) == factor
    attention = AdditiveAttention(BlockInfo(4, 6, stride, False), DA3(grid=grid))
    out = -(-side // stride)
    y = attention(torch.randn(1, 4, side, side), lambda x, *_: torch.zeros(1, 6, out, out))
    assert y.shape == (1, 6, out, out)
    assert -(-out // factor) <= grid


def test_a_block_with_a_border_of_its_own() -> None:
    attention = randomised(AdditiveAttention(BlockInfo(4, 6, 2, False), DA3(grid=2)))
    x = torch.randn(2, 4, 11, 11)
    y = attention(x, lambda x, *_: torch.zeros(2, 6, 2, 2))  # no padding: fewer than ceil(11 / 2)
    assert y.shape == (2, 6, 2, 2)
    assert y.any()


def test_shifts_are_trained_only_when_asked(tiny_backbone: Backbone) -> None:
    def names(method: DA3) -> set[str]:
        return {n for n in attach(tiny_backbone, method, 2).domain_state() if "shifts" in n}

    assert len(names(DA3(biases=True, first_block=0))) == 2  # of three blocks
    assert names(DA3(biases=False, first_block=0)) == set()
    assert len(names(DA3(biases=True, first_block=1))) == 1
    assert names(DA3(biases=True, first_block=2)) == set()


def test_blocks_before_the_first_adaptor_need_no_backward(tiny_backbone: Backbone) -> None:
    model = attach(tiny_backbone, DA3(first_block=2, groups=3), classes=2)
    channels = kept_channels(model)
    assert 4 not in channels  # width of the stem, the input of block 0
    assert 8 in channels  # of block 2, pooled


def test_training_takes_few_images_at_once_before_the_first_adaptor(
    tiny_backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("addapt.engines.torch.methods.head.PIXELS_AT_ONCE", 1)
    model = attach(tiny_backbone.lean().double(), DA3(first_block=2), classes=2)
    randomised(model.adaptor)
    sizes: list[int] = []
    model.backbone.stem.register_forward_pre_hook(lambda m, inputs: sizes.append(len(inputs[0])))
    x = torch.randn(3, 3, 40, 40, dtype=torch.float64)
    trained, whole = model.train().features(x), model.eval().features(x)
    assert sizes == [1, 1, 1, 3]  # in the end as the backbone takes them, to the last bit
    torch.testing.assert_close(trained, whole, rtol=1e-12, atol=1e-12)
