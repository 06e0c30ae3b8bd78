"""Networks as libraries write them freeze to the same, and as lean as in PyTorch's own layers."""

import copy
import pickle
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from addapt._errors import FreezeError, OptionError
from addapt.engines.torch.freezing import FrozenConv2d, audit, freeze
from addapt.engines.torch.freezing.layers import FrozenAffine
from tests.engines.torch.freezing import library_styles
from tests.engines.torch.freezing.library_styles import (
    EXCITED,
    SIZED,
    STYLES,
    BatchNormAct,
    ConvNormAct,
    ConvSame,
    StandardConv,
)
from tests.engines.torch.freezing.measures import kept_bytes, relative_error, step


def make_input(batch: int = 2, px: int = 11) -> Tensor:
    return torch.randn(batch, 3, px, px, generator=torch.Generator().manual_seed(7)).double()


@pytest.mark.parametrize("name", [*STYLES, *SIZED])
def test_same_outputs_and_gradients_with_a_bit_an_element(name: str) -> None:
    plain = (STYLES | SIZED)[name]().double()
    frozen = freeze(plain, example=make_input(1) if name in SIZED else None)
    for batch in (2, 3):  # the number of images stays open
        x = make_input(batch)
        expected, got = step(plain, x, {}), step(frozen, x, {})
        assert relative_error(got.y, expected.y) <= 1e-12
        assert relative_error(got.input_gradient, expected.input_gradient) <= 1e-9
    assert kept_bytes(frozen, x) * 30 < kept_bytes(plain, x)


@pytest.mark.parametrize("name", [*STYLES, *SIZED])
def test_once_more(name: str) -> None:
    plain, x = (STYLES | SIZED)[name]().double(), make_input()
    before = copy.deepcopy(plain.state_dict())
    first, second = freeze(plain, example=x), freeze(plain, example=x)
    expected = first(x)
    twins = second, freeze(first), copy.deepcopy(first), pickle.loads(pickle.dumps(first))
    for twin in twins:
        assert torch.equal(twin(x), expected)
    assert kept_bytes(freeze(first), x) == kept_bytes(first, x)
    assert all(torch.equal(tensor, before[key]) for key, tensor in plain.state_dict().items())
    assert torch.equal(freeze(plain, example=x, consume=True)(x), expected)


@pytest.mark.parametrize("name", EXCITED)
def test_gated_maps_are_kept_once_or_rounded(name: str) -> None:
    plain, x = EXCITED[name]().double(), make_input()
    exact, rounded = freeze(plain), freeze(plain, codes="8bit")
    expected, got, coded = (step(network, x, {}) for network in (plain, exact, rounded))
    assert relative_error(got.y, expected.y) <= 1e-12
    assert relative_error(got.input_gradient, expected.input_gradient) <= 1e-9
    assert torch.equal(coded.y, got.y)
    assert 0 < relative_error(coded.input_gradient, expected.input_gradient) < 0.02
    maps = 8 * 8 * 2 * (9 * 9 + 7 * 7 + 5 * 5 + 5 * 5)  # the last is changed after its activation
    small = 8 * 8 * 2 * 3
    assert kept_bytes(exact, x) <= maps + 3 * small
    # A code of the derivative and one of the map, of a byte each.
    assert kept_bytes(rounded, x) <= 2 * maps / 8 + 5 * small


def test_what_a_network_caches_is_not_touched() -> None:
    plain, x = STYLES["caches"]().double(), make_input()
    for _ in range(2):
        assert torch.allclose(freeze(plain)(x), plain(x))
        assert list(plain.cache) == ["cpu"]  # type: ignore[arg-type]


def layers_of(frozen: nn.Module) -> dict[str, str]:
    kinds = (FrozenConv2d, FrozenAffine)
    return {name: type(m).__name__ for name, m in frozen.named_modules() if isinstance(m, kinds)}


def test_layers_keep_their_paths() -> None:
    frozen = freeze(nn.Sequential(ConvNormAct(StandardConv(3, 4, 1), 4, nn.ReLU())).eval())
    assert layers_of(frozen) == {"0.conv": "FrozenConv2d"}
    assert {key for key in frozen.state_dict()} == {"0.conv.weight", "0.conv.bias"}
    lone = nn.Sequential(BatchNormAct(3, nn.ReLU()), nn.MaxPool2d(2), BatchNormAct(3, nn.Tanh()))
    # Both have layers of their own inside.
    expected = {"0.batch_norm": "FrozenAffine", "2.batch_norm_1": "FrozenAffine"}
    assert layers_of(freeze(lone.eval())) == expected


def test_nothing_is_left_of_checks_and_of_layers_that_do_nothing() -> None:
    frozen = freeze(STYLES["norm_act"]())
    assert [node.op for node in frozen.graph.nodes] == [
        "placeholder",
        *["call_module"] * 3,
        "output",
    ]


def test_the_padding_of_timm_takes_images_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = SIZED["same"]().double()
    library = SimpleNamespace(pad_same=library_styles.pad_same)
    monkeypatch.setitem(sys.modules, "timm.layers.padding", library)
    frozen = freeze(plain)
    for network in (frozen, freeze(frozen), pickle.loads(pickle.dumps(frozen))):
        for px in (11, 16):
            x = make_input(px=px)
            expected, got = step(plain, x, {}), step(network, x, {})
            assert relative_error(got.y, expected.y) <= 1e-12
            assert relative_error(got.input_gradient, expected.input_gradient) <= 1e-9
        assert kept_bytes(network, x) * 30 < kept_bytes(plain, x)


def test_an_image_of_another_size_is_refused() -> None:
    frozen = freeze(SIZED["same"](), example=torch.zeros(1, 3, 11, 11))
    for network in (frozen, freeze(frozen)):
        with pytest.raises(OptionError, match=r"example of 3 x 11 x 11, but was given 3 x 12 x 12"):
            network(torch.zeros(1, 3, 12, 12))


def test_an_example_that_the_network_cannot_take_is_named() -> None:
    with pytest.raises(OptionError, match=r"cannot take an `example` of \(1, 1, 8, 8\)"):
        freeze(SIZED["same"](), example=torch.zeros(1, 1, 8, 8))


def test_without_an_example_its_lack_is_named() -> None:
    with pytest.raises(FreezeError, match="give an `example` input"):
        freeze(SIZED["same"]())


class DecidesByValues(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.same = ConvSame(3, 4, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.same(x)
        return x if x.sum() > 0 else -x


def test_an_example_decides_by_sizes_and_never_by_values() -> None:
    with pytest.raises(FreezeError, match=r'"return x if x.sum\(\) > 0 else -x"') as caught:
        freeze(DecidesByValues(), example=torch.zeros(1, 3, 8, 8))
    assert "`example`" not in str(caught.value)


class Changes(nn.Module):
    """Changes in place what comes from a parameter, and checks a value."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        torch._assert(x.isfinite().all(), "not finite")  # type: ignore[no-untyped-call]
        shift = (self.weight * 2).view(3, 1, 1)
        shift += x.mean()
        noise = nn.functional.dropout(self.weight, 0.0, training=True)
        return x * shift + noise


def test_what_is_changed_in_place_is_no_constant() -> None:
    plain, x = Changes().double(), make_input()
    frozen = freeze(plain)
    for _ in range(2):
        assert torch.allclose(frozen(x), plain(x))
    with pytest.raises(AssertionError, match="not finite"):
        frozen(x / 0)


def test_the_audit_of_plain_functions_names_the_remedy() -> None:
    network = nn.Sequential(ConvNormAct(StandardConv(3, 4, 1), 4, nn.ReLU())).eval()
    rows = {row.kind: row.remedy for row in audit(network, torch.zeros(1, 3, 4, 4)) if row.reason}
    assert rows["conv2d"] == rows["ReLU"] == "freeze the network"
    same = audit(SIZED["same"](), torch.zeros(1, 3, 8, 8))
    assert "freeze the network" in {row.remedy for row in same if row.kind == "batch_norm"}
