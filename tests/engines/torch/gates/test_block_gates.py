"""Gates of blocks and channels: open, closed, each image its own, and truly skipped."""

import itertools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from addapt._errors import OptionError
from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.gates import BlockGates, GatedBlock, Gates, count_multiply_adds
from addapt.engines.torch.memory import KeptTensors
from addapt.engines.torch.methods import (
    DA3,
    AdaptedModel,
    attach,
    gates_of,
    measure_gates,
    refit_gates,
    settle_gates,
    switch_gates,
)
from addapt.engines.torch.methods.da3 import AdditiveAdaptor, AdditiveAttention
from tests.engines.torch.gates.small_backbones import small_backbone
from tests.micro_batches import gradients

METHOD = DA3(first_block=1, grid=2)
CASES = [
    (kind, unit, dynamic)
    for kind, unit, dynamic in itertools.product(
        ("inverted", "bottleneck", "basic"), ("blocks", "channels"), (False, True)
    )
]


def noise_images(images: int, seed: int = 3, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return images of noise, each of another brightness and contrast."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(images, 3, 32, 32, generator=generator)
    scale, shift = torch.rand(2, images, 3, 1, 1, generator=generator)
    x: Tensor = noise * 3 * scale + 4 * shift - 2
    return x.to(dtype)


def gated_model(backbone: Backbone, gates: Gates) -> tuple[AdaptedModel, BlockGates]:
    """Make a measured model whose adaptors and head say something."""
    torch.manual_seed(1)
    model = attach(backbone, METHOD, 3, gates)
    own = gates_of(model)
    assert isinstance(own, BlockGates)
    dtype = next(backbone.parameters()).dtype
    measure_gates(model, [noise_images(4, dtype=dtype), noise_images(3, seed=4, dtype=dtype)])
    with torch.no_grad():
        for name, parameter in model.domain_state().items():
            if isinstance(parameter, torch.nn.Parameter) and "gates" not in name:
                parameter.copy_(torch.randn_like(parameter) * 0.2)
    return model.eval(), own


def spread(gates: BlockGates, kind: str) -> None:
    """Have the gates decide differently for different images."""
    std = {"inverted": 3.0, "bottleneck": 0.001, "basic": 0.03}[kind]  # as the features are large
    with torch.no_grad():
        for gate in gates:
            if gate.dynamic:
                gate.weight.normal_(std=std)


def attention_of(model: AdaptedModel, place: int) -> AdditiveAttention:
    assert isinstance(model.adaptor, AdditiveAdaptor)
    attention = model.adaptor.attentions[place - model.adaptor.first_block]
    assert isinstance(attention, AdditiveAttention)
    return attention


@pytest.mark.parametrize(("kind", "unit", "dynamic"), CASES)
def test_all_open_is_the_ungated_model_bit_for_bit(kind: str, unit: str, dynamic: bool) -> None:
    backbone = small_backbone(kind)
    model, gates = gated_model(backbone, Gates(unit, dynamic, 0.8))
    ungated = attach(backbone, METHOD, 3)
    state = {name: x for name, x in model.domain_state().items() if ".gates." not in name}
    ungated.load_domain_state(state)
    x = noise_images(5)
    expected = ungated.eval()(x)
    assert not torch.equal(model(x), expected)
    switch_gates(model, on=False)
    assert torch.equal(model(x), expected)
    switch_gates(model, on=True)
    gates.price.zero_()
    assert torch.equal(model(x), expected)
    unmeasured = attach(backbone, METHOD, 3, Gates(unit, dynamic, 0.8))
    unmeasured.load_domain_state({**unmeasured.domain_state(), **state})
    assert torch.equal(unmeasured.eval()(x), expected)


@pytest.mark.parametrize(("kind", "unit", "dynamic"), CASES)
def test_the_share_asked_for_is_reached_by_skipping(kind: str, unit: str, dynamic: bool) -> None:
    model, gates = gated_model(small_backbone(kind), Gates(unit, dynamic, 0.8))
    x = noise_images(6)
    if dynamic:
        spread(gates, kind)
        settle_gates(model, [x[:3], x[3:]])
    gated = count_multiply_adds(model, x)
    switch_gates(model, on=False)
    assert gated <= 0.8 * count_multiply_adds(model, x)
    switch_gates(model, on=True)
    with gates.noting_widths() as chosen:
        model(x)
    assert len(chosen) == len(model.backbone.blocks)
    assert any(
        widths is not None and (widths < gate.whole).any()
        for widths, gate in zip(chosen, gates, strict=True)
    )


@pytest.mark.parametrize("kind", ["inverted", "bottleneck", "basic"])
@pytest.mark.parametrize("unit", ["blocks", "channels"])
def test_images_of_a_batch_are_computed_as_alone(kind: str, unit: str) -> None:
    model, gates = gated_model(small_backbone(kind).double(), Gates(unit, True, 0.9))
    model.double()
    spread(gates, kind)
    x = noise_images(7).double()
    settle_gates(model, [x])
    with gates.noting_widths() as chosen:
        together = model(x)
    assert any(widths is not None and len(set(widths.tolist())) > 1 for widths in chosen)
    alone = torch.cat([model(one[None]) for one in x])
    torch.testing.assert_close(together, alone, rtol=1e-10, atol=1e-12)
    whole = count_multiply_adds(model, x)
    assert whole == sum(count_multiply_adds(model, one[None]) for one in x)


def test_a_closed_block_is_shortcut_and_adaptor() -> None:
    backbone = small_backbone()
    model, gates = gated_model(backbone, Gates("blocks", False, 0.9))
    gates.price.fill_(1e9)
    seen: dict[int, tuple[Any, Tensor, Tensor]] = {}
    closed = [i for i, info in enumerate(backbone.info.blocks) if info.identity_shortcut]
    assert closed
    for place in closed:
        attention_of(model, place).register_forward_hook(
            lambda layer, inputs, y, place=place: seen.update({place: (layer, inputs[0], y)})
        )
    model(noise_images(2))
    assert sorted(seen) == closed
    for layer, x, y in list(seen.values()):
        torch.testing.assert_close(y, layer(x, lambda x, hidden, tiles: x))


def test_price_goes_down_with_the_share() -> None:
    backbone = small_backbone()
    prices = [
        float(gated_model(backbone, Gates("channels", False, share))[1].price)
        for share in (1.0, 0.8, 0.6, 0.5)
    ]
    assert prices == sorted(prices)
    assert prices[0] == 0 < prices[-1]


def test_losses_and_costs_are_those_of_the_widths() -> None:
    backbone = small_backbone()
    fresh = attach(backbone, METHOD, 3)
    x = noise_images(4)
    total = count_multiply_adds(fresh, x[:1])
    model = attach(backbone, METHOD, 3, Gates("channels", False, 0.7))
    measure_gates(model, [x])
    gates = gates_of(model)
    assert isinstance(gates, BlockGates)
    with torch.no_grad():
        y = backbone.stem(x)
        for gate, block in zip(gates, backbone.blocks, strict=True):
            torch.testing.assert_close(
                gate.costs[-1].item(), count_multiply_adds(block, y[:1]) / total, rtol=1e-5, atol=0
            )
            assert gate.costs.tolist() == sorted(gate.costs.tolist())
            whole = block(y)
            for width in range(gate.whole):
                z = gate.compute(width, block, y, {})
                loss = ((z - whole).square().sum((1, 2, 3)) / whole.square().sum((1, 2, 3))).mean()
                assert gate.losses[width].item() >= 0
                torch.testing.assert_close(gate.losses[width], loss)
            y = whole


def test_gates_tell_images_apart() -> None:
    """Fitted on two sorts of images, they predict what widths lose on others of these."""
    model, gates = gated_model(small_backbone(), Gates("channels", True, 0.7))

    def images(seed: int) -> Tensor:
        return torch.cat([noise_images(24, seed), noise_images(24, seed + 1) * 0.02])

    refit_gates(model, [images(10)])
    found: dict[int, tuple[Tensor, Tensor]] = {}

    def watch(block: GatedBlock, x: Tensor, means: Tensor | None) -> None:
        if means is not None:
            gate = block.gate
            predicted = means @ gate.weight.t() + gate.bias
            found[block.place] = predicted, gate.measured_losses(block.block, x, {}).log()

    for shift in model.adaptor.shifts:  # type: ignore[union-attr]
        for value in shift.values:
            torch.nn.init.zeros_(value)
    refit_gates(model, [images(10)])
    with gates.watched(watch, all_open=False):
        model(images(20))
    assert len(found) == len(gates.of_blocks) - 1
    for predicted, wanted in found.values():
        assert (predicted - wanted).square().mean() < 0.5 * wanted.var(0).mean()


def test_training_leaves_gates_as_they_are() -> None:
    """They are fitted between epochs; within one the decisions are constants."""
    model, gates = gated_model(small_backbone(), Gates("channels", True, 0.7))
    before = {name: tensor.clone() for name, tensor in gates.state_dict().items()}
    assert list(gates.parameters()) == []
    F.cross_entropy(model.train()(noise_images(4)), torch.tensor([0, 1, 2, 0])).backward()  # type: ignore[no-untyped-call]
    assert all(torch.equal(before[name], tensor) for name, tensor in gates.state_dict().items())


@pytest.mark.parametrize("unit", ["blocks", "channels"])
def test_micro_batches_give_the_gradient_of_the_whole_batch(unit: str) -> None:
    model, gates = gated_model(small_backbone().double(), Gates(unit, True, 0.9))
    model.double().train()
    spread(gates, "inverted")
    x, labels = noise_images(6).double(), torch.tensor([0, 1, 2, 2, 1, 0])

    whole = gradients(model, x, labels, 6)
    for micro_batch in (1, 3):
        for a, b in zip(gradients(model, x, labels, micro_batch), whole, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("unit", ["blocks", "channels"])
def test_a_step_keeps_no_more_than_ungated(unit: str, dynamic: bool) -> None:
    backbone = small_backbone()
    model, _ = gated_model(backbone, Gates(unit, dynamic, 0.7))
    ungated = attach(backbone, METHOD, 3)
    kept = []
    for each in (ungated, model):
        each.train()
        with KeptTensors(each) as tensors:
            each(F.interpolate(noise_images(8), 64))
        kept.append(tensors.peak_bytes)
    assert kept[1] <= 1.05 * kept[0]


def test_another_domains_order_makes_new_narrow_blocks() -> None:
    model, gates = gated_model(small_backbone(), Gates("channels", False, 0.6))
    x = noise_images(2)
    before = model(x)
    state = {name: tensor.clone() for name, tensor in model.domain_state().items()}
    for name, tensor in state.items():
        if name.endswith(".order"):
            state[name] = tensor.flip(0)
    model.load_domain_state(state)
    after = model(x)
    assert not torch.equal(before, after)
    again = attach(model.backbone, METHOD, 3, gates.gates)
    again.load_domain_state(state)
    assert torch.equal(again.eval()(x), after)


@pytest.mark.parametrize("price", [1e-9, 1e9])
def test_collapsed_gates_are_set_anew(price: float) -> None:
    model, gates = gated_model(small_backbone(), Gates("channels", True, 0.6))
    x = noise_images(6)
    refit_gates(model, [x])
    assert int(gates.rescues) == 0  # they have not collapsed
    gates.price.fill_(price)
    refit_gates(model.train(), [x])
    assert int(gates.rescues) == 1
    assert model.training
    gated = count_multiply_adds(model.eval(), x)
    switch_gates(model, on=False)
    assert 0.2 < gated / count_multiply_adds(model, x) <= 0.65


def test_less_than_the_least() -> None:
    with pytest.raises(OptionError, match=r"With all that gates of blocks can leave out \d+% of"):
        gated_model(small_backbone(), Gates("blocks", False, 0.05))


def test_nothing_to_leave_out(tiny_backbone: Backbone) -> None:
    from dataclasses import replace

    lean = tiny_backbone.lean()
    plain = tuple(replace(info, identity_shortcut=False) for info in lean.info.blocks)
    lean.info = replace(lean.info, blocks=plain)
    with pytest.raises(OptionError, match="No block of tiny has anything to leave out.*resolution"):
        attach(lean, METHOD, 3, Gates("blocks"))


def test_methods_without_such_gates() -> None:
    from addapt.engines.torch.methods import Head

    with pytest.raises(OptionError, match="'head' has no gates of blocks: use 'da3'"):
        attach(small_backbone(), Head(), 3, Gates("blocks"))
