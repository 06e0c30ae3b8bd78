"""Gates of blocks: open, closed, each image its own, and truly skipped."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from addapt._errors import OptionError
from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.gates import BlockGates, ModelGates, count_multiply_adds
from addapt.engines.torch.gates.block_gates import Seen
from addapt.engines.torch.memory import KeptTensors, accumulate_gradients
from addapt.engines.torch.methods import AdaptedModel, attach
from addapt.engines.torch.methods.da3 import AdditiveAdaptor, AdditiveAttention
from addapt.gates import GateConfig
from addapt.methods import DA3, Head
from tests.engines.torch.gates.small_backbones import KINDS, small_backbone

METHOD = DA3(first_block=1, grid=2)
NAMES = ("costs", "losses")
every_kind = pytest.mark.parametrize("kind", KINDS)
static_and_dynamic = pytest.mark.parametrize("dynamic", [False, True])


def noise_images(images: int, seed: int = 3, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return images of noise, each of another brightness and contrast."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(images, 3, 32, 32, generator=generator)
    scale, shift = torch.rand(2, images, 3, 1, 1, generator=generator)
    x: Tensor = noise * 3 * scale + 4 * shift - 2
    return x.to(dtype)


def gates_of(model: AdaptedModel) -> ModelGates:
    assert model.gates is not None
    return model.gates


def gated_model(backbone: Backbone, config: GateConfig) -> tuple[AdaptedModel, BlockGates]:
    """Make a measured model whose adaptors and head say something."""
    torch.manual_seed(1)
    model = attach(backbone, METHOD, 3, config)
    dtype = next(backbone.parameters()).dtype
    gates_of(model).measure([noise_images(4, dtype=dtype), noise_images(3, seed=4, dtype=dtype)])
    with torch.no_grad():
        for parameter in model.domain_parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.2)
    (own,) = (part for part in model.adaptor.children() if isinstance(part, BlockGates))
    return model.eval(), own


def spread(gates: BlockGates, kind: str) -> None:
    """Have the gates decide differently for different images."""
    std = {"inverted": 3.0, "bottleneck": 0.001, "basic": 0.03}[kind]  # as the features are large
    with torch.no_grad():
        for gate in gates:
            if gate.dynamic:
                gate.weight.normal_(std=std)


def decisions(model: AdaptedModel, gates: BlockGates, x: Tensor) -> dict[int, list[bool]]:
    """Return for which images each block is open."""
    found: dict[int, list[bool]] = {}

    def note(seen: Seen) -> None:
        found[seen.block.place] = list(seen.opened)

    with gates.watched(note, active=True):
        model(x)
    return found


def compute_share(model: AdaptedModel, x: Tensor) -> float:
    """Return the multiply-adds with gates as a share of those without."""
    found = []
    for active in (True, False):
        gates_of(model).active = active
        found.append(count_multiply_adds(model, x))
    gates_of(model).active = True
    return found[0] / found[1]


def attention_of(model: AdaptedModel, place: int) -> AdditiveAttention:
    assert isinstance(model.adaptor, AdditiveAdaptor)
    attention = model.adaptor.attentions[place - model.adaptor.first_block]
    assert isinstance(attention, AdditiveAttention)
    return attention


@every_kind
@static_and_dynamic
def test_all_open_is_the_ungated_model_bit_for_bit(kind: str, dynamic: bool) -> None:
    backbone = small_backbone(kind)
    config = GateConfig("blocks", dynamic, 0.8)
    model, gates = gated_model(backbone, config)
    ungated = attach(backbone, METHOD, 3)
    state = {name: x for name, x in model.domain_state().items() if ".gates." not in name}
    ungated.load_domain_state(state)
    x = noise_images(5)
    expected = ungated.eval()(x)
    assert not torch.equal(model(x), expected)
    gates_of(model).active = False
    assert torch.equal(model(x), expected)
    gates_of(model).active = True
    gates.price.zero_()
    assert torch.equal(model(x), expected)
    unmeasured = attach(backbone, METHOD, 3, config)
    unmeasured.load_domain_state({**unmeasured.domain_state(), **state})
    assert torch.equal(unmeasured.eval()(x), expected)


@every_kind
@static_and_dynamic
def test_the_share_asked_for_is_reached_by_skipping(kind: str, dynamic: bool) -> None:
    model, gates = gated_model(small_backbone(kind), GateConfig("blocks", dynamic, 0.8))
    x = noise_images(6)
    if dynamic:
        spread(gates, kind)
        gates_of(model).settle([x[:3], x[3:]])
    assert compute_share(model, x) <= 0.8
    opened = decisions(model, gates, x)
    assert [*opened] == [*range(len(model.backbone.blocks))]
    assert not all(itertools.chain(*opened.values()))
    shares = gates_of(model).open_shares([x[:4], x[4:]])
    for place, (gate, row) in enumerate(zip(gates, shares, strict=True)):
        share = sum(opened[place]) / 6
        assert row == pytest.approx((1 - share, share) if gate.can_close else (1.0,))


@every_kind
def test_images_of_a_batch_are_computed_as_alone(kind: str) -> None:
    model, gates = gated_model(small_backbone(kind).double(), GateConfig("blocks", True, 0.9))
    model.double()
    spread(gates, kind)
    x = noise_images(7).double()
    gates_of(model).settle([x])
    assert any(len(set(opened)) > 1 for opened in decisions(model, gates, x).values())
    alone = torch.cat([model(one[None]) for one in x])
    torch.testing.assert_close(model(x), alone, rtol=1e-10, atol=1e-12)
    whole = count_multiply_adds(model, x)
    assert whole == sum(count_multiply_adds(model, one[None]) for one in x)


def test_a_closed_block_is_shortcut_and_adaptor() -> None:
    backbone = small_backbone()
    model, gates = gated_model(backbone, GateConfig("blocks", False, 0.9))
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


def test_the_price_rises_as_the_share_falls() -> None:
    backbone = small_backbone()
    one, two, three = (
        float(gated_model(backbone, GateConfig("blocks", False, share))[1].price)
        for share in (1.0, 0.9, 0.7)
    )
    assert one == 0 < two < three


def test_losses_and_costs_are_those_of_the_blocks() -> None:
    backbone = small_backbone()
    x = noise_images(4)
    total = count_multiply_adds(attach(backbone, METHOD, 3), x[:1])
    model = attach(backbone, METHOD, 3, GateConfig("blocks", False, 0.7))
    gates_of(model).measure([x[:3], x[3:]])
    state = model.domain_state()
    with torch.no_grad():
        y = backbone.stem(x)
        for place, block in enumerate(backbone.blocks):
            costs, losses = (state[f"adaptor.gates.of_blocks.{place}.{n}"] for n in NAMES)
            cost = count_multiply_adds(block, y[:1]) / total
            torch.testing.assert_close(costs[-1].item(), cost, rtol=1e-5, atol=0)
            whole = block(y)
            if backbone.info.blocks[place].identity_shortcut:
                loss = ((y - whole).square().sum((1, 2, 3)) / whole.square().sum((1, 2, 3))).mean()
                torch.testing.assert_close(losses, torch.stack([loss, torch.zeros(())]))
                assert costs[0] == 0
            y = whole


@static_and_dynamic
def test_tensors_are_named_as_in_the_files_that_there_are(dynamic: bool) -> None:
    state = attach(small_backbone(), METHOD, 3, GateConfig("blocks", dynamic)).domain_state()
    shapes = {name: tuple(x.shape) for name, x in state.items() if ".gates." in name}
    hidden = attention_of(attach(small_backbone(), METHOD, 3), 2).hidden
    expected: dict[str, tuple[int, ...]] = {"price": (), "rescues": ()}
    for place, choices in enumerate((2, 1, 2, 2, 2)):
        expected |= {f"of_blocks.{place}.{name}": (choices,) for name in NAMES}
        if dynamic and choices == 2 and place >= 1:
            expected[f"of_blocks.{place}.weight"] = (1, hidden)
            expected[f"of_blocks.{place}.bias"] = (1,)
    assert shapes == {f"adaptor.gates.{name}": shape for name, shape in expected.items()}


def errors_of(
    model: AdaptedModel, gates: BlockGates, x: Tensor, *, active: bool
) -> dict[int, tuple[float, float]]:
    """Return how wrong each gate is that decides for each image, and how much that varies."""
    found: dict[int, tuple[float, float]] = {}

    def watch(seen: Seen) -> None:
        if seen.features is not None:
            gate = seen.block.gate
            predicted = seen.features @ gate.weight[0] + gate.bias
            wanted = seen.block.closing_losses(seen.x).log()
            error = (predicted - wanted).square().mean()
            found[seen.block.place] = float(error), float(wanted.var())

    with gates.watched(watch, active=active):
        model(x)
    return found


def test_gates_tell_images_apart() -> None:
    """Fitted on two sorts of images, they predict what closing loses on others of these."""
    model, gates = gated_model(small_backbone(), GateConfig("blocks", True, 0.7))

    def images(seed: int) -> Tensor:
        return torch.cat([noise_images(24, seed), noise_images(24, seed + 1) * 0.02])

    gates_of(model).measure([images(10)])
    found = errors_of(model, gates, images(20), active=False)  # as they were measured
    assert len(found) == sum(gate.dynamic for gate in gates) > 1
    for error, variance in found.values():
        assert error < 0.5 * variance


def test_micro_batches_give_the_gradient_of_the_whole_batch() -> None:
    model, gates = gated_model(small_backbone().double(), GateConfig("blocks", True, 0.9))
    model.double().train()
    spread(gates, "inverted")
    assert list(gates.parameters()) == []  # they are fitted between epochs
    before = {name: tensor.clone() for name, tensor in gates.state_dict().items()}
    x, labels = noise_images(6).double(), torch.tensor([0, 1, 2, 2, 1, 0])
    found = []
    for micro_batch in (6, 3, 1):
        model.zero_grad()
        accumulate_gradients(model, x, labels, micro_batch=micro_batch)
        found.append([p.grad for p in model.domain_parameters() if p.grad is not None])
    for parts in found[1:]:
        for a, b in zip(parts, found[0], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)
    assert all(torch.equal(before[name], tensor) for name, tensor in gates.state_dict().items())


@static_and_dynamic
def test_a_step_keeps_no_more_than_ungated(dynamic: bool) -> None:
    backbone = small_backbone()
    model, _ = gated_model(backbone, GateConfig("blocks", dynamic, 0.7))
    ungated = attach(backbone, METHOD, 3)
    kept = []
    for each in (ungated, model):
        each.train()
        with KeptTensors(each) as tensors:
            each(F.interpolate(noise_images(8), 64))
        kept.append(tensors.peak_bytes)
    assert kept[1] <= 1.05 * kept[0]


def test_refitting_follows_the_adaptors() -> None:
    model, gates = gated_model(small_backbone(), GateConfig("blocks", True, 0.75))
    x = noise_images(8)
    before = errors_of(model, gates, x, active=True)
    gates_of(model).refit([x])
    after = errors_of(model, gates, x, active=True)
    first = min(before)  # what others see changes with the decisions of those before them
    assert after[first][0] < 0.5 * before[first][0]


@pytest.mark.parametrize("price", [1e-9, 1e9])
def test_collapsed_gates_are_set_anew(price: float) -> None:
    model, own = gated_model(small_backbone(), GateConfig("blocks", True, 0.75))
    x = noise_images(6)
    gates = gates_of(model)
    gates.refit([x])
    before = gates.rescues
    gates.refit([x])
    assert gates.rescues == before  # they have not collapsed
    own.price.fill_(price)
    model.train()
    gates.refit([x])
    assert gates.rescues == before + 1
    assert model.training
    assert compute_share(model.eval(), x) <= 0.8


@static_and_dynamic
def test_gates_that_are_off_are_set_like_those_that_are_on(dynamic: bool) -> None:
    """Settled while off, gates that decide for each image had no price that would have done."""
    states = []
    for active in (True, False):
        model, own = gated_model(small_backbone(), GateConfig("blocks", dynamic, 0.75))
        gates, x = gates_of(model), noise_images(6)
        gates.active = active
        gates.measure([noise_images(4)])
        spread(own, "inverted")
        gates.refit([x])
        gates.settle([x])
        assert gates.active is active
        states.append((own.state_dict(), gates.open_shares([x])))
    assert states[0][1] == states[1][1]
    assert all(torch.equal(states[0][0][name], states[1][0][name]) for name in states[0][0])


@static_and_dynamic
def test_settling_ends_where_the_share_cannot_be_reached(dynamic: bool) -> None:
    model, own = gated_model(small_backbone(), GateConfig("blocks", dynamic, 0.75))
    own.config = replace(own.config, compute=0.01)
    gates_of(model).settle([noise_images(4)])
    if dynamic:
        opened = decisions(model, own, noise_images(4))
        for place, gate in enumerate(own):
            assert any(opened[place]) is not gate.can_close


@pytest.mark.parametrize("name", ["measure", "refit", "settle", "open_shares"])
def test_batches_that_can_be_gone_through_once_are_refused(name: str) -> None:
    model = attach(small_backbone(), METHOD, 3, GateConfig("blocks", True, 0.8))
    use = getattr(gates_of(model), name)
    with pytest.raises(OptionError, match="only once.*give a list"):
        use(noise_images(2)[None] for _ in range(2))
    with pytest.raises(OptionError, match="no images.*at least one batch"):
        use([])
    assert model.training


@static_and_dynamic
def test_gates_work_in_inference_mode(dynamic: bool) -> None:
    backbone = small_backbone()
    model, own = gated_model(backbone, GateConfig("blocks", dynamic, 0.75))
    x = noise_images(4)
    expected = model(x)
    with torch.inference_mode():
        assert torch.equal(model(x), expected)
        made_there = attach(backbone, METHOD, 3, own.config).eval()
        made_there.load_domain_state(model.domain_state())
        assert torch.equal(made_there(x), expected)
        own.price.zero_()  # another domain's tensors may be loaded there
        made_there.load_domain_state(model.domain_state())
        opened = model(x)
        assert not torch.equal(opened, expected)
        assert torch.equal(made_there(x), opened)
    with torch.no_grad():
        assert torch.equal(made_there(x), opened)


def test_less_than_the_least() -> None:
    backbone = small_backbone()
    with pytest.raises(OptionError, match=r"With all that gates of blocks can leave out \d+% of"):
        gated_model(backbone, GateConfig("blocks", False, 0.05))
    _, own = gated_model(backbone, GateConfig("blocks", False, 0.9))
    least = own.rest + sum(float(gate.cost) for gate in own if not gate.can_close)
    with pytest.raises(OptionError) as told:
        gated_model(backbone, GateConfig("blocks", False, least - 1e-4))
    stays, asked = (word for word in str(told.value).split() if word.endswith("%"))
    assert stays != asked


def test_nothing_to_leave_out(tiny_backbone: Backbone) -> None:
    lean = tiny_backbone.lean()
    plain = tuple(replace(info, identity_shortcut=False) for info in lean.info.blocks)
    lean.info = replace(lean.info, blocks=plain)
    with pytest.raises(OptionError, match="No block of tiny has an identity .*resolution"):
        attach(lean, METHOD, 3, GateConfig("blocks"))


def test_methods_without_such_gates() -> None:
    with pytest.raises(OptionError, match="'head' has no gates of blocks: use 'da3'"):
        attach(small_backbone(), Head(), 3, GateConfig("blocks"))
