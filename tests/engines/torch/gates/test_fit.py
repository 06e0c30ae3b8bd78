"""Gates fitted by least squares."""

import torch

from addapt.engines.torch.backbones import BlockInfo
from addapt.engines.torch.gates import Gates
from addapt.engines.torch.gates.block_gate import BlockGate
from addapt.engines.torch.gates.fit import fit_gate
from tests.engines.torch.gates.small_backbones import small_backbone


def make_gate(hidden: int) -> BlockGate:
    block = small_backbone().blocks[2]
    return BlockGate(BlockInfo(8, 8, 1, True), block, Gates("blocks", True), hidden)


def predicted(gate: BlockGate, x: torch.Tensor) -> torch.Tensor:
    return x @ gate.weight.t() + gate.bias


def test_what_is_linear_is_found() -> None:
    gate = make_gate(3)
    x = torch.randn(200, 3) * torch.tensor([1.0, 100.0, 0.01]) + 5
    y = (x - 5) @ torch.tensor([[0.5], [-0.01], [30.0]]) - 4
    fit_gate(gate, x, y.exp())
    torch.testing.assert_close(predicted(gate, x), y, rtol=0.02, atol=0.05)


def test_from_what_says_nothing_the_mean_is_predicted() -> None:
    gate = make_gate(30)
    x, y = torch.randn(64, 30), torch.randn(64, 1) - 3
    fit_gate(gate, x, y.exp())
    others = torch.randn(500, 30)
    error = (predicted(gate, others) - y.mean()).square().mean()
    assert error < 0.2 * y.var()


def test_features_that_never_change_and_losses_of_nothing() -> None:
    gate = make_gate(2)
    fit_gate(gate, torch.zeros(8, 2), torch.zeros(8, 1))
    assert gate.choose(torch.zeros(3, 2), 1.0).tolist() == [1, 1, 1]  # nothing costs nothing
    gate.costs.copy_(torch.tensor([0.0, 0.5]))
    assert gate.choose(torch.zeros(3, 2), 1.0).tolist() == [0, 0, 0]
    fit_gate(gate, torch.zeros(1, 2), torch.full((1, 1), 0.5))
    assert gate.choose(torch.zeros(3, 2), 0.9).tolist() == [1, 1, 1]
    assert gate.choose(torch.zeros(3, 2), 1.1).tolist() == [0, 0, 0]
