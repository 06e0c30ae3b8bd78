"""A frozen network computes the same, has the same gradients, and keeps almost nothing."""

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn

from addapt.engines.torch.backbones import weights_sha256
from addapt.engines.torch.freezing import (
    audit,
    freeze,
    pack_weights,
    trained_biases,
    unpack_weights,
)
from addapt.engines.torch.freezing.layers import FrozenConv2d
from tests.engines.torch.freezing.measures import (
    Step,
    bias_partners,
    kept_bytes,
    relative_error,
    step,
)
from tests.engines.torch.freezing.networks import NETWORKS

# All that these are made of has a lean form.
LEAN = ("vgg", "shufflenet", "densenet", "resnet18")
# Float type, channels-last or not, errors allowed of outputs and of gradients.
SETTINGS = [
    (torch.float32, True, 1e-5, 1e-4),
    (torch.float64, False, 1e-12, 1e-9),
]


def make_input(batch: int = 2, px: int = 33, channels_last: bool = False) -> Tensor:
    x = torch.randn(batch, 3, px, px, generator=torch.Generator().manual_seed(7))
    return x.contiguous(memory_format=torch.channels_last) if channels_last else x


def run_both(plain: nn.Module, frozen: nn.Module, x: Tensor) -> tuple[Step, Step]:
    partners = bias_partners(plain, frozen)
    assert partners
    return (
        step(plain, x, {name: pair[0] for name, pair in partners.items()}),
        step(frozen, x, {name: pair[1] for name, pair in partners.items()}),
    )


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: f"{s[0]}-last={s[1]}")
@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "shared"])
def test_same_outputs_and_gradients(
    name: str, setting: tuple[torch.dtype, bool, float, float]
) -> None:
    dtype, channels_last, allowed_y, allowed_gradient = setting
    plain = NETWORKS[name]().to(dtype)
    if channels_last:
        plain.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = make_input(channels_last=channels_last).to(dtype)
    expected, got = run_both(plain, freeze(plain), x)
    assert relative_error(got.y, expected.y) <= allowed_y
    assert relative_error(got.input_gradient, expected.input_gradient) <= allowed_gradient
    assert set(got.bias_gradients) == set(expected.bias_gradients)
    for layer, gradient in got.bias_gradients.items():
        error = relative_error(gradient, expected.bias_gradients[layer])
        assert error <= allowed_gradient, layer


def test_layers_called_twice() -> None:
    plain = NETWORKS["shared"]().double()
    frozen = freeze(plain)
    x = make_input().double()
    expected = step(plain, x, {"bn": plain.bn.bias, "tied_bn": plain.tied_bn.bias})  # type: ignore[dict-item, union-attr]
    own = {name: getattr(frozen, name).bias for name in ("conv_conv", "conv_conv_1", "tied")}
    got = step(frozen, x, own)
    assert relative_error(got.y, expected.y) <= 1e-12
    assert relative_error(got.input_gradient, expected.input_gradient) <= 1e-9
    both = got.bias_gradients["conv_conv"] + got.bias_gradients["conv_conv_1"]
    assert relative_error(both, expected.bias_gradients["bn"]) <= 1e-9
    tied = got.bias_gradients["tied"]
    assert relative_error(tied, expected.bias_gradients["tied_bn"]) <= 1e-9


def test_micro_batches_give_the_same_gradient() -> None:
    plain = NETWORKS["efficientnet"]().double()
    frozen = freeze(plain)
    biases = {name: pair[1].requires_grad_() for name, pair in bias_partners(plain, frozen).items()}
    x = make_input(batch=5).double()
    cotangent = torch.randn(5, 10, dtype=torch.float64)

    def gradients(rows: int) -> list[Tensor]:
        frozen.zero_grad()
        for start in range(0, 5, rows):
            part = slice(start, start + rows)
            frozen(x[part]).backward(cotangent[part])
        return [bias.grad.clone() for bias in biases.values() if bias.grad is not None]

    whole, parts = gradients(5), gradients(2)
    assert len(whole) == len(biases)
    for one, other in zip(whole, parts, strict=True):
        assert relative_error(other, one) <= 1e-12


@pytest.mark.parametrize("name", ["vgg", "densenet", "shared", "dilated"])
def test_original_stays_unless_consumed(name: str) -> None:
    plain = NETWORKS[name]().requires_grad_(True)
    for layer in plain.modules():
        if isinstance(layer, (nn.Dropout, nn.Linear)):
            layer.train()
    before = copy.deepcopy(plain)
    frozen = freeze(plain)
    assert not any(layer.training for layer in frozen.modules())
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    modules = zip(plain.named_modules(), before.named_modules(), strict=True)
    for (path, layer), (_, earlier) in modules:
        assert type(layer) is type(earlier), path
        assert layer.training == earlier.training, path
    assert all(parameter.requires_grad for parameter in plain.parameters())
    for key, tensor in plain.state_dict().items():
        assert torch.equal(tensor, before.state_dict()[key]), key
    x = make_input()
    y = frozen(x)  # before layers that both share may be consumed
    assert torch.equal(freeze(plain, consume=True)(x), y)


def test_consuming_takes_no_second_weight() -> None:
    plain = NETWORKS["vgg"]()
    weight = plain.get_submodule("0").weight
    kept, consumed = freeze(plain), freeze(plain, consume=True)
    assert isinstance(weight, Tensor)
    assert kept.get_parameter("0.weight").data_ptr() != weight.data_ptr()
    assert consumed.get_parameter("0.weight").data_ptr() == weight.data_ptr()
    assert kept.get_parameter("12.weight").data_ptr() == plain.get_parameter("12.weight").data_ptr()


@pytest.mark.parametrize("name", ["densenet", "mobilenet_v3", "shared", "efficientnet_lite0"])
def test_freezing_twice_changes_nothing(name: str) -> None:
    once = freeze(NETWORKS[name]())
    twice = freeze(once)
    x = make_input()
    assert torch.equal(once(x), twice(x))
    assert kept_bytes(twice, x) == kept_bytes(once, x)


def test_frozen_part_of_a_network_is_frozen_with_it() -> None:
    part = freeze(NETWORKS["efficientnet"](), codes="8bit")
    whole = freeze(nn.Sequential(part, nn.Linear(10, 2)))
    x = make_input()
    assert kept_bytes(whole, x) == kept_bytes(part, x)


def test_deep_copies_and_loaded_states_stand_alone() -> None:
    frozen, other = freeze(NETWORKS["densenet"]()), freeze(NETWORKS["densenet"]())
    for parameter in other.parameters():
        parameter.fill_(0.5)
    x = make_input()
    y = frozen(x)
    assert not torch.equal(other(x), y)
    other.load_state_dict(frozen.state_dict())
    twin = copy.deepcopy(frozen)
    for parameter in frozen.parameters():
        parameter.zero_()
    assert torch.equal(twin(x), y) and torch.equal(other(x), y)


@pytest.mark.parametrize("name", ["vgg", "shufflenet", "dilated", "broadcast"])
def test_packed_weights_do_the_same(name: str) -> None:
    frozen = freeze(NETWORKS[name]())
    biases: dict[str, Tensor] = {
        path: layer.bias
        for path, layer in frozen.named_modules()
        if isinstance(layer, FrozenConv2d) and layer.bias is not None
    }
    state = {key: tensor.clone() for key, tensor in frozen.state_dict().items()}
    inputs = [make_input(), make_input(batch=3, px=40, channels_last=True)]
    expected = [step(frozen, x, biases) for x in inputs]
    pack_weights(frozen)
    for x, unpacked in zip(inputs, expected, strict=True):  # packed for the first, used for both
        packed = step(frozen, x, biases)
        assert relative_error(packed.y, unpacked.y) <= 1e-6
        assert relative_error(packed.input_gradient, unpacked.input_gradient) <= 1e-6
        for layer, gradient in packed.bias_gradients.items():
            assert relative_error(gradient, unpacked.bias_gradients[layer]) <= 1e-6, layer
    unpack_weights(frozen)
    assert frozen.state_dict().keys() == state.keys()
    for key, tensor in frozen.state_dict().items():
        assert torch.equal(tensor, state[key]), key


def packed_network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    layers = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1)
    network = nn.Sequential(*layers).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    frozen = freeze(network)
    pack_weights(frozen)
    with torch.inference_mode():
        frozen(make_input())
    assert frozen.get_submodule("0").weight is None
    return frozen


def test_state_of_packed_weights() -> None:
    frozen, other = packed_network(), packed_network(seed=1)
    state = {key: tensor.clone() for key, tensor in frozen.state_dict().items()}
    assert weights_sha256(frozen) != weights_sha256(other)
    x = make_input()
    y, earlier = frozen(x), other(x)
    other.load_state_dict(state)
    assert torch.equal(other(x), y) and not torch.equal(earlier, y)
    for twin in (copy.deepcopy(frozen), pickle.loads(pickle.dumps(frozen))):
        assert torch.equal(twin(x), y)
    before = weights_sha256(frozen)
    unpack_weights(frozen)
    assert weights_sha256(frozen) == before
    assert frozen.state_dict().keys() == state.keys()
    weight = frozen.get_parameter("0.weight")
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_packed_weights_move_and_change_type() -> None:
    frozen = packed_network()
    x = make_input()
    y = frozen(x)
    assert relative_error(frozen.double()(x.double()), y.double()) <= 1e-6
    assert torch.equal(frozen.float()(x), y)
    assert frozen.get_submodule("0").weight is None  # packed anew
    assert all(tensor.is_meta for tensor in frozen.to("meta").state_dict().values())


def test_what_inference_mode_has_made_can_be_trained_with() -> None:
    frozen, never_packed = packed_network(), packed_network()
    with torch.inference_mode():
        unpack_weights(never_packed)
        never_packed(make_input())
    biases = {"0": frozen.get_parameter("0.bias")}
    got = step(frozen, make_input(), biases)
    expected = step(never_packed, make_input(), {"0": never_packed.get_parameter("0.bias")})
    assert relative_error(got.bias_gradients["0"], expected.bias_gradients["0"]) <= 1e-6


def test_packed_weights_where_they_do_not_serve() -> None:
    frozen = freeze(NETWORKS["vgg"]())
    pack_weights(frozen)
    x = make_input()
    y = frozen(x)
    assert frozen(x[:0]).shape == (0, 7)
    assert torch.equal(copy.deepcopy(frozen)(x), y)


@pytest.mark.parametrize("name", LEAN)
def test_kept_is_less_than_a_twentieth(name: str) -> None:
    plain = NETWORKS[name]()
    x = make_input(channels_last=True)
    assert kept_bytes(freeze(plain), x) * 20 < kept_bytes(plain, x)


def test_8bit_codes_keep_a_quarter() -> None:
    plain = NETWORKS["efficientnet"]()
    exact, coded = freeze(plain), freeze(plain, codes="8bit")
    x = make_input()
    expected, got = step(exact, x, {}), step(coded, x, {})
    assert torch.equal(got.y, expected.y)
    error = relative_error(got.input_gradient, expected.input_gradient)
    assert 0 < error < 0.02

    def of_silu(network: nn.Module) -> int:
        kinds = ("SiLU", "smooth_8bit")
        return sum(row.kept_bytes for row in audit(network, x) if row.kind in kinds)

    gates = sum(r.kept_bytes for r in audit(exact, x) if r.kind == "Sigmoid")
    assert of_silu(coded) * 4 == of_silu(exact) + gates


def test_names_of_trained_biases() -> None:
    plain = NETWORKS["resnet18"]()
    names = set(trained_biases(freeze(plain)))
    assert "stem.0.conv.bias" in names
    assert len(names) == len(trained_biases(plain))


@pytest.mark.parametrize("packs", [False, True])
@pytest.mark.parametrize("name", ["densenet", "broadcast"])
def test_autocast_with_backward_outside(name: str, packs: bool) -> None:
    frozen = freeze(NETWORKS[name]())
    bias = {"first": frozen.get_parameter(next(iter(trained_biases(frozen))))}
    expected = step(frozen, make_input(), bias)
    if packs:
        pack_weights(frozen)

    def cast(x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y: Tensor = frozen(x)
        return y.float()

    network = nn.Module()
    network.forward = cast
    got = step(network, make_input(), bias)
    assert relative_error(got.y, expected.y) <= 0.05
    assert relative_error(got.input_gradient, expected.input_gradient) <= 0.15
    assert got.input_gradient.dtype == torch.float32
    error = relative_error(got.bias_gradients["first"], expected.bias_gradients["first"])
    assert error <= 0.15
