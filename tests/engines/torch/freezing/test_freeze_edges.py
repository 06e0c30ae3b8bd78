"""Networks that can be frozen in part or not at all, and code that is easy to get wrong."""

import copy
import inspect
import math
import pickle
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from addapt._errors import FreezeError, OptionError
from addapt.engines.torch.freezing import freeze
from addapt.engines.torch.freezing.layers import FrozenAffine, FrozenConv2d
from tests.engines.torch.freezing.measures import kept_bytes, relative_error, step
from tests.engines.torch.freezing.networks import NETWORKS


class Decides(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            return x
        return -x


class PreActivation(nn.Module):
    """A shortcut that reads a map before a ReLU changes it in place, as inference code may."""

    def __init__(self, inplace: bool) -> None:
        super().__init__()
        self.shortcut = nn.Conv2d(3, 4, 1, stride=2)
        self.relu = nn.ReLU(inplace)

    def forward(self, x: Tensor) -> Tensor:
        x = x * 1
        shortcut: Tensor = self.shortcut(x)
        y: Tensor = self.relu(x)
        return shortcut + y.mean((1, 2, 3), keepdim=True)


class SumIntoView(nn.Module):
    """A sum that changes in place what another name stands for, too."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        same = F.dropout(first, 0.5, self.training)
        same += self.second(x)
        return torch.cat([first, same], 1)


class Doubled(nn.Conv2d):
    """A convolution that is no convolution."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 4, 1), nn.LeakyReLU(0.2)
        self.lstm = nn.LSTM(4, 5, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.lstm(self.relu(self.conv(x)).flatten(2).transpose(1, 2))[0]
        return y


def network_of(body: Callable[[Tensor], Tensor]) -> nn.Module:
    """Return a network that computes `body` of a convolution's result."""

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            return body(self.conv(x))

    return Network().eval()


def change_under_two_names(x: Tensor) -> Tensor:
    y = x * 2
    z = y
    y += x
    return z * x


def change_a_view(x: Tensor) -> Tensor:
    F.relu(x.flatten(1), inplace=True)
    return x * 2


def change_unnamed(x: Tensor) -> Tensor:
    y = x * 1
    F.relu_(y)
    return y + x


def sum_scaled(x: Tensor) -> Tensor:
    return F.relu(torch.add(x, x.sigmoid(), alpha=2))


def sum_with_itself(x: Tensor) -> Tensor:
    return F.relu(x + x)


def pool_with_options(x: Tensor) -> Tensor:
    first = F.max_pool2d(x, (3, 2), stride=2, padding=1, dilation=1, ceil_mode=True)
    second = F.avg_pool2d(x, 3, 2, 1, True, False)
    third = F.avg_pool2d(x, 2, divisor_override=3).mean() + F.avg_pool2d(x, 3, padding=1)
    fourth = F.adaptive_avg_pool2d(x, (None, 2)) + F.adaptive_avg_pool2d(x, output_size=1)
    return first.sum() + second.sum() * (third.mean() + fourth.sum())


def take_places(x: Tensor) -> Tensor:
    y, places = F.max_pool2d(x, 2, return_indices=True)
    return y * places


@pytest.mark.parametrize(
    "body",
    [
        change_under_two_names,
        change_a_view,
        change_unnamed,
        sum_scaled,
        sum_with_itself,
        pool_with_options,
        take_places,
    ],
)
def test_code_that_is_easy_to_get_wrong(body: Callable[[Tensor], Tensor]) -> None:
    plain = network_of(body).double()
    x = torch.randn(2, 3, 7, 7, dtype=torch.float64)
    expected, got = step(plain, x, {}), step(freeze(plain), x, {})
    assert relative_error(got.y, expected.y) <= 1e-12
    assert relative_error(got.input_gradient, expected.input_gradient) <= 1e-9


def hooked() -> nn.Module:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())
    network[0].register_forward_hook(lambda layer, args, y: -y)
    return network


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize(
    "network",
    [
        hooked(),
        SumIntoView(),
        nn.Sequential(nn.Conv2d(3, 4, 2, padding="same"), nn.ReLU()),
        nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular"), nn.ReLU()),
        nn.Sequential(Doubled(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU6()),
        nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)),
        nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, affine=False)),
        nn.Sequential(nn.InstanceNorm2d(3, affine=True), nn.GroupNorm(1, 3)),
        nn.Sequential(nn.ConvTranspose2d(3, 4, 2), nn.LeakyReLU(), nn.Softplus()),
        nn.Sequential(nn.Hardtanh(-1, 1), nn.Hardtanh(0, 6), nn.MaxPool2d(2, padding=1)),
        Recurrent(),
    ],
)
def test_unknown_layers_are_left_as_they_are(network: nn.Module) -> None:
    network.double().eval()
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    expected, got = step(network, x, {}), step(freeze(network), x, {})
    assert relative_error(got.y, expected.y) <= 1e-12
    assert relative_error(got.input_gradient, expected.input_gradient) <= 1e-9


class SumsWithNumbers(nn.Module):
    """Summands that a graph does not tell from maps, each behind a convolution of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3, 4, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        count = F.relu(self.convs[0](x) + x.size(1))
        share = F.relu(x.shape[2] / 7 + self.convs[1](x))
        mean = F.relu(self.convs[2](x) + x.mean())
        wide = F.relu6(self.convs[3](x) + count.double())
        return count + share + mean + wide


def test_a_summand_that_is_no_map() -> None:
    plain = SumsWithNumbers()
    x = torch.randn(2, 3, 5, 5)
    frozen = freeze(plain)
    expected, got = step(plain, x, {}), step(frozen, x, {})
    assert got.y.dtype == expected.y.dtype == torch.float64
    assert relative_error(got.y, expected.y) <= 1e-6
    assert relative_error(got.input_gradient, expected.input_gradient) <= 1e-6


class ModeDependent(nn.Module):
    """What behaves otherwise in training: layers, and code that asks for the mode."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.dropout = nn.Conv2d(3, 4, 1), nn.Dropout(0.5)
        self.bn = nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.dropout(self.conv(x).mean((2, 3)))
        z: Tensor = F.dropout(self.bn(y), 0.5, self.training)
        return z


@pytest.mark.parametrize("training", [False, True])
def test_a_frozen_network_stays_in_evaluation_mode(training: bool) -> None:
    plain = ModeDependent()
    nn.init.normal_(plain.bn.running_mean)  # type: ignore[arg-type]
    x = torch.randn(3, 3, 4, 4)
    y = plain.eval()(x)
    plain.train(training)
    before = copy.deepcopy(plain.state_dict())
    frozen = freeze(plain)
    assert all(layer.training == training for layer in plain.modules())
    for twin in (frozen, copy.deepcopy(frozen), pickle.loads(pickle.dumps(frozen)), freeze(frozen)):
        around = nn.Sequential(twin).train()
        assert not any(layer.training for layer in twin.modules())
        assert torch.allclose(around(x), y, atol=1e-6)
    # Even where a layer inside is told so by name, the original has statistics of its own.
    frozen.get_submodule("bn").train()
    frozen(x)
    for key, tensor in plain.state_dict().items():
        assert torch.equal(tensor, before[key]), key


def test_read_before_a_change_in_place() -> None:
    network, separate = PreActivation(inplace=True).double(), PreActivation(inplace=False).double()
    separate.load_state_dict(network.state_dict())
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    expected, got = step(separate, x, {}), step(freeze(network), x, {})
    assert relative_error(got.y, expected.y) <= 1e-12
    assert relative_error(got.input_gradient, expected.input_gradient) <= 1e-9


@pytest.mark.parametrize(
    ("layer", "kind"),
    [(nn.Conv2d(3, 4, 1), FrozenConv2d), (nn.BatchNorm2d(3), FrozenAffine), (nn.Identity(), None)],
)
def test_lone_layers(layer: nn.Module, kind: type[nn.Module] | None) -> None:
    layer.eval()
    x = torch.randn(2, 3, 6, 6)
    frozen = freeze(layer)
    assert kind is None or [m for m in frozen.modules() if type(m) is kind]
    assert kept_bytes(frozen, x) == 0
    assert torch.allclose(frozen(x), layer(x), atol=1e-6)


@pytest.mark.parametrize("rows", [0, 1])
def test_small_batches(rows: int) -> None:
    plain = NETWORKS["efficientnet"]()
    x = torch.randn(rows, 3, 20, 20)
    expected, got = step(plain, x, {}), step(freeze(plain), x, {})
    assert torch.allclose(got.y, expected.y, atol=1e-5)
    assert torch.allclose(got.input_gradient, expected.input_gradient, atol=1e-5)


def test_batch_norm_in_training_mode_is_refused() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    with pytest.raises(FreezeError, match=r"'1' is in training mode.*\.eval\(\)"):
        freeze(network)


def test_network_that_cannot_be_recorded() -> None:
    line = inspect.getsourcelines(Decides.forward)[1] + 1
    with pytest.raises(FreezeError) as caught:
        freeze(nn.Sequential(nn.Conv2d(3, 4, 1), Decides()))
    message = str(caught.value)
    assert f'line {line} of {__file__}, "if x.sum() > 0:"' in message
    assert "@torch.fx.wrap" in message


@pytest.mark.parametrize(("tensor", "value"), [("0.weight", math.nan), ("1.running_var", math.inf)])
def test_broken_weights_are_refused(tensor: str, value: float) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval()
    network.state_dict()[tensor].view(-1)[0] = value
    with pytest.raises(FreezeError, match=f"{tensor!r} of Sequential holds a value"):
        freeze(network)


def test_unknown_codes_are_refused() -> None:
    with pytest.raises(OptionError, match="no codes '4bit'"):
        freeze(nn.Sequential(nn.SiLU()), codes="4bit")  # type: ignore[arg-type]
