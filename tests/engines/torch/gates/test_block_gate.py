"""Gates that decide for each image, fitted by least squares."""

import math

import torch

from addapt.backbones import BlockInfo
from addapt.engines.torch.gates.block_gate import BlockGate
from addapt.gates import GateConfig


def make_gate(hidden: int) -> BlockGate:
    return BlockGate(BlockInfo(8, 8, 1, True), GateConfig("blocks", True), hidden)


def predicted(gate: BlockGate, x: torch.Tensor) -> torch.Tensor:
    return (x @ gate.weight.t() + gate.bias)[:, 0]


def test_what_is_linear_is_found() -> None:
    gate = make_gate(3)
    x = torch.randn(200, 3) * torch.tensor([1.0, 100.0, 0.01]) + 5
    y = (x - 5) @ torch.tensor([0.5, -0.01, 30.0]) - 4
    gate.fit(x, y.exp())
    torch.testing.assert_close(predicted(gate, x), y, rtol=0.02, atol=0.05)


def test_from_what_says_nothing_the_mean_is_predicted() -> None:
    gate = make_gate(30)
    x, y = torch.randn(64, 30), torch.randn(64) - 3
    gate.fit(x, y.exp())
    others = torch.randn(500, 30)
    error = (predicted(gate, others) - y.mean()).square().mean()
    assert error < 0.2 * y.var()


def test_features_that_never_change_and_losses_of_nothing() -> None:
    gate = make_gate(2)
    gate.fit(torch.zeros(8, 2), torch.zeros(8))
    assert gate.opens_for(torch.zeros(3, 2), 1.0).tolist() == [True] * 3  # open costs nothing
    gate.costs.copy_(torch.tensor([0.0, 0.5]))
    assert gate.opens_for(torch.zeros(3, 2), 1.0).tolist() == [False] * 3
    gate.fit(torch.zeros(1, 2), torch.full((1,), 0.5))
    assert gate.opens_for(torch.zeros(3, 2), 0.9).tolist() == [True] * 3
    assert gate.opens_for(torch.zeros(3, 2), 1.1).tolist() == [False] * 3
    assert gate.opens_for(torch.full((1, 2), math.nan), 1.1).tolist() == [True]


def test_without_a_shortcut_it_is_always_open() -> None:
    gate = BlockGate(BlockInfo(8, 8, 2, False), GateConfig("blocks", True), 4)
    gate.costs.fill_(1.0)
    assert gate.opens(1e9)
    assert not gate.dynamic
