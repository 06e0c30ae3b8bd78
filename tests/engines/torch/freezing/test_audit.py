"""The audit says of each operation what it keeps for backward, and why."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from addapt._errors import FreezeError
from addapt.engines.torch.freezing import AuditRow, audit, freeze
from tests.engines.torch.freezing.measures import kept_bytes
from tests.engines.torch.freezing.networks import NETWORKS, SMALL, SqueezeExcite


def rows_of(network: nn.Module, px: int = 8) -> dict[str, AuditRow]:
    return {row.name: row for row in audit(network.eval(), torch.randn(2, 3, px, px))}


@pytest.mark.parametrize("name", [*SMALL, "efficientnet_lite0"])
def test_total_is_what_autograd_keeps(name: str) -> None:
    plain, x = NETWORKS[name](), torch.randn(2, 3, 33, 33)
    for network in (plain, freeze(plain)):
        assert sum(row.kept_bytes for row in audit(network, x)) == kept_bytes(network, x)


def test_plain_network_line_by_line() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))
    rows = audit(network.eval().requires_grad_(False), torch.randn(2, 3, 8, 8))
    row = partial(AuditRow, remedy="freeze the network")
    assert rows == (
        row("0", "Conv2d", 2 * 3 * 64 * 4, "its input, although its weight is frozen"),
        row("1", "BatchNorm2d", 2 * 4 * 64 * 4, "its input, although its statistics are fixed"),
        row("2", "ReLU", 2 * 4 * 64 * 4, "its result, of which 1 bit an element would do"),
        row("3", "Conv2d", 0, "its input, although its weight is frozen (counted at 2)"),
    )


def test_frozen_network_line_by_line() -> None:
    network = nn.Sequential(
        *(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU()),
        *(nn.MaxPool2d(2), nn.Conv2d(4, 2, 1), nn.SiLU(), nn.BatchNorm2d(2), nn.ReLU6()),
        *(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(8, 3), nn.ReLU()),
    ).eval()
    frozen = freeze(network)
    rows = audit(frozen, torch.randn(2, 3, 8, 8))
    assert [(r.name, r.kind, r.kept_bytes, r.reason, r.remedy) for r in rows] == [
        ("0", "FrozenConv2d", 64, "1 bit an element", ""),
        ("3.max_pool2d", "max_pool2d", 128, "1 byte an output element", ""),
        ("4", "FrozenConv2d", 0, "nothing", ""),
        ("5", "SiLU", 256, "needs its input", 'codes="8bit"'),
        ("6", "FrozenAffine", 8, "1 bit an element", ""),
        ("8.avg_pool2d", "avg_pool2d", 0, "nothing", ""),
        ("9", "Flatten", 0, "nothing", ""),
        ("10", "Linear", 0, "nothing", ""),
        ("11.relu", "relu", 1, "1 bit an element", ""),
    ]
    coded = rows_of(freeze(network, codes="8bit"))["5.smooth_8bit"]
    assert (coded.kept_bytes, coded.reason) == (64, "1 byte an element")


def test_both_factors_are_kept() -> None:
    rows = rows_of(freeze(SqueezeExcite(3, nn.ReLU(), nn.Sigmoid())))
    product = rows["mul"]
    assert product.reason == "both factors (partly counted at gate)"
    assert product.kept_bytes == 2 * 3 * 64 * 4
    assert rows["gate"].reason == "needs its result"
    assert rows["gate"].remedy == 'codes="8bit"'


def network_of(body: Callable[[Tensor], Tensor]) -> nn.Module:
    class Network(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return body(x)

    return Network()


def relu_seen_by_others(x: Tensor) -> Tensor:
    y = x * 2
    return F.relu(y, inplace=True).mean() + y


@pytest.mark.parametrize(
    ("network", "name", "reason", "remedy"),
    [
        (
            nn.Sequential(nn.LogSigmoid()),
            *("0", "not known to addapt: left as it is", ""),
        ),
        (
            nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")),
            *("0", "its input: padding of a kind not known to addapt", "pad in a layer before it"),
        ),
        (
            nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False)),
            *("0", "its input: it has no statistics but those of the batch", ""),
        ),
        (
            network_of(relu_seen_by_others),
            *("relu", "works in place on a map that others use", "let it work out of place"),
        ),
        (
            nn.Sequential(nn.GroupNorm(1, 3)).requires_grad_(False),
            *("0", "its input: its statistics are those of each image", ""),
        ),
        (network_of(lambda x: x.softmax(1)), "softmax", "its result", ""),
        (network_of(lambda x: x @ x), "matmul", "both factors", ""),
        (network_of(lambda x: x * x.mean()), "mul", "both factors", 'codes="8bit"'),
        (network_of(lambda x: x + x * 2), "mul", "nothing", ""),
    ],
)
def test_what_freezing_leaves(network: nn.Module, name: str, reason: str, remedy: str) -> None:
    for each in (network, freeze(network.eval())):
        row = rows_of(each)[name]
        assert (row.reason, row.remedy) == (reason, remedy)
        assert (row.kept_bytes > 0) == (reason != "nothing")


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (nn.MaxPool2d(2), "its input, and 8 bytes an output element"),
        (nn.AvgPool2d(2), "its input, of which the shape would do"),
        (nn.AdaptiveAvgPool2d(2), "its input, of which the shape would do"),
        (nn.Conv2d(3, 4, 1), "its input, for its weight"),
        (nn.Linear(8, 2), "its input, for its weight"),
    ],
)
def test_what_freezing_mends(layer: nn.Module, reason: str) -> None:
    network = nn.Sequential(layer)
    row = rows_of(network)["0"]
    assert (row.reason, row.remedy) == (reason, "freeze the network")
    if isinstance(layer, nn.MaxPool2d):
        assert row.kept_bytes == 2 * 3 * (64 * 4 + 16 * 8)
    left = sum(row.kept_bytes for row in rows_of(freeze(network)).values())
    assert left == (2 * 3 * 16 if isinstance(layer, nn.MaxPool2d) else 0)


def test_names_tell_where_a_function_is_called() -> None:
    network = nn.Sequential(nn.Identity(), network_of(torch.sigmoid))
    assert [row.name for row in audit(network, torch.randn(1, 3, 4, 4))] == ["0", "1.sigmoid"]


def test_audit_leaves_the_network_as_it_is() -> None:
    network = NETWORKS["dilated"]()
    x = torch.randn(2, 3, 33, 33)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    first = x.clone()
    with torch.no_grad():  # the audit needs gradients all the same
        assert any(row.kept_bytes for row in audit(network, x))
    assert torch.equal(x, first)
    assert not x.requires_grad
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())


def test_nothing_is_computed_on_the_meta_device() -> None:
    frozen = freeze(NETWORKS["mobilenet_v3"]())
    x = torch.randn(2, 3, 33, 33)
    rows = audit(frozen, x)
    assert audit(frozen.to("meta"), x.to("meta")) == rows


def test_networks_that_cannot_be_audited() -> None:
    with pytest.raises(FreezeError, match="'0' is in training mode"):
        audit(nn.Sequential(nn.BatchNorm2d(3)), torch.randn(1, 3, 4, 4))
