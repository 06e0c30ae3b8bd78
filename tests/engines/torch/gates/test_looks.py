"""Two looks at an image: who gets the second, and what that costs."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from addapt._errors import OptionError
from addapt.engines.torch.backbones import load_backbone
from addapt.engines.torch.gates import Gates, TwoLooks, count_multiply_adds, static_px
from addapt.engines.torch.gates.looks import first_look_px, scaled_px
from addapt.engines.torch.methods import (
    DA3,
    METHODS,
    attach,
    build_method,
    gates_of,
    settle_gates,
    switch_gates,
)
from tests.engines.torch.gates.small_backbones import small_backbone

GATES = Gates("resolution", True, 0.6)


def classify(x: Tensor) -> Tensor:
    """Say how sure by the brightness, and remember the size in the second class."""
    brightness = x.mean((1, 2, 3))
    return torch.stack([brightness, torch.full_like(brightness, -x.shape[2] / 1000)], dim=1)


@pytest.mark.parametrize(
    ("px", "compute", "scaled"),
    [(224, 1.0, 224), (224, 0.25, 112), (224, 0.6, 168), (96, 0.5, 64), (40, 0.1, 32), (16, 1, 16)],
)
def test_sizes(px: int, compute: float, scaled: int) -> None:
    assert scaled_px(px, compute) == scaled


def test_the_largest_size_within_a_share() -> None:
    backbone = small_backbone()
    whole = count_multiply_adds(backbone, torch.zeros(1, 3, 100, 100))
    for compute in (0.9, 0.5, 0.2):
        px = static_px(backbone, 100, compute)
        costs = [
            count_multiply_adds(backbone, torch.zeros(1, 3, side, side)) for side in (px, px + 8)
        ]
        assert costs[0] <= compute * whole
        assert costs[1] > compute * whole or (px + 8) ** 2 > compute * 100**2
    assert static_px(backbone, 100, 1.0) == 100
    with pytest.raises(OptionError, match="of 100 px cannot be made so small that 1% .* 32 px"):
        static_px(backbone, 100, 0.01)


def test_the_unsure_are_looked_at_again() -> None:
    looks = TwoLooks(GATES).eval()
    looks.threshold.fill_(0.9)
    x = torch.zeros(4, 3, 64, 64)
    x[1], x[3] = 8.0, -8.0
    logits = looks(x, classify)
    first = -first_look_px(64, 0.6) / 1000
    expected = [-0.064, first, -0.064, first]
    torch.testing.assert_close(logits[:, 1], torch.tensor(expected))
    assert looks.second is not None
    assert looks.second.tolist() == [True, False, True, False]


def test_until_settled_and_switched_off_it_is_one_look_at_full_size() -> None:
    looks = TwoLooks(GATES).eval()
    x = torch.randn(3, 3, 64, 64)
    assert torch.equal(looks(x, classify), classify(x))
    looks.threshold.zero_()
    assert not torch.equal(looks(x, classify), classify(x))
    looks.active = False
    assert torch.equal(looks(x, classify), classify(x))


def test_both_sizes_are_learned_in_turn() -> None:
    looks = TwoLooks(GATES).train()
    x = torch.zeros(3, 3, 64, 64)
    first = -first_look_px(64, 0.6) / 1000
    seen = [looks(x, classify)[:, 1].tolist() for _ in range(2)]
    assert seen[0] == pytest.approx([-0.064, -0.064, first])
    assert seen[1] == pytest.approx([-0.064, first, first])
    alone = TwoLooks(GATES).train()
    singly = [alone(one[None], classify)[0, 1].item() for one in x]
    assert singly == pytest.approx([-0.064, first, -0.064])


def test_settling_reaches_the_share() -> None:
    backbone = small_backbone()
    model = attach(backbone, DA3(first_block=1), 3, GATES).eval()
    torch.nn.init.normal_(model.head.weight)
    assert isinstance(gates_of(model), TwoLooks)
    x = torch.randn(40, 3, 64, 64)
    settle_gates(model, torch.split(x, 16))
    gated = count_multiply_adds(model, x)
    switch_gates(model, on=False)
    ungated = count_multiply_adds(model, x)
    assert 0.55 < gated / ungated <= 0.6
    assert not model.training


@pytest.mark.parametrize("name", METHODS)
def test_every_method_learns_both_looks(name: str) -> None:
    model = attach(load_backbone("mobilenet_v2", "random"), build_method(name), 2, GATES).train()
    logits = model(torch.randn(4, 3, 64, 64))
    assert logits.shape == (4, 2)
    F.cross_entropy(logits, torch.tensor([0, 1, 1, 0])).backward()  # type: ignore[no-untyped-call]
    assert any(p.grad is not None for p in model.domain_parameters())
    switch_gates(model.eval(), on=True)
    assert model(torch.randn(2, 3, 64, 64)).isfinite().all()


def test_state_round_trip() -> None:
    backbone = small_backbone()
    model = attach(backbone, DA3(first_block=1), 3, GATES)
    state = {name: x.clone() for name, x in model.domain_state().items()}
    assert {"looks.threshold", "looks.turn"} < state.keys()
    state["looks.threshold"].fill_(0.5)
    model.load_domain_state(state)
    assert model.looks is not None
    assert float(model.looks.threshold) == 0.5


def test_static_resolution_is_no_part_of_a_model() -> None:
    model = attach(small_backbone(), DA3(first_block=1), 3, Gates("resolution"))
    assert gates_of(model) is None
    switch_gates(model, on=False)  # nothing to switch
