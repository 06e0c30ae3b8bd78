"""Smaller images: their sizes; two looks, who gets the second, and what that costs."""

import re

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from addapt._errors import OptionError
from addapt.engines.torch.engine import TorchEngine
from addapt.engines.torch.gates import TwoLooks, count_multiply_adds
from addapt.engines.torch.gates.resolution import first_look_px
from addapt.engines.torch.methods import attach
from addapt.gates import GateConfig, scaled_px
from addapt.learning.gating import static_px
from addapt.methods import DA3, METHODS, build_method
from tests.engines.torch.gates.small_backbones import small_backbone

GATES = GateConfig("resolution", True, 0.6)


def classify(x: Tensor) -> Tensor:
    """Say how sure by the brightness, and remember the size in the second class."""
    brightness = x.mean((1, 2, 3))
    return torch.stack([brightness, torch.full_like(brightness, -x.shape[2] / 1000)], dim=1)


def test_sizes() -> None:
    asked = [(224, 1.0), (224, 0.25), (224, 0.6), (96, 0.5), (40, 0.1), (16, 1)]
    assert [scaled_px(*each) for each in asked] == [224, 112, 168, 64, 32, 16]


def test_the_largest_size_within_a_share() -> None:
    engine = TorchEngine(small_backbone())
    whole = engine.multiply_adds(100)
    for compute in (0.9, 0.5, 0.2):
        px = static_px(engine, 100, compute)
        assert engine.multiply_adds(px) <= compute * whole
        larger_fits = engine.multiply_adds(px + 8) <= compute * whole
        assert not larger_fits or (px + 8) ** 2 > compute * 100**2
    assert static_px(engine, 100, 1.0) == 100
    with pytest.raises(OptionError, match="of 100 px cannot be made so small that 1% .* 32 px"):
        static_px(engine, 100, 0.01)
    with pytest.raises(OptionError) as told:
        static_px(engine, 100, engine.multiply_adds(32) / whole - 1e-4)
    asked, least = re.findall(r"[\d.]+%", str(told.value))
    assert asked != least


def test_the_unsure_are_looked_at_again() -> None:
    looks = TwoLooks(GATES).eval()
    looks.threshold.fill_(0.9)
    x = torch.zeros(4, 3, 64, 64)
    x[1], x[3] = 8.0, -8.0
    logits = looks(x, classify)
    first = -first_look_px(64, 0.6) / 1000
    expected = [-0.064, first, -0.064, first]
    torch.testing.assert_close(logits[:, 1], torch.tensor(expected))
    assert looks.second_share([x[:1], x[1:]], classify) == 0.5


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
    assert model.gates is not None
    assert model.gates.config == GATES
    x = torch.randn(40, 3, 64, 64)
    model.gates.active = False
    model.gates.settle(torch.split(x, 16))
    ((once, twice),) = model.gates.open_shares(torch.split(x, 16))
    assert not model.gates.active
    assert 0 < twice < 1 == once + twice
    model.gates.active = True
    gated = count_multiply_adds(model, x)
    model.gates.active = False
    ungated = count_multiply_adds(model, x)
    assert 0.55 < gated / ungated <= 0.6
    assert not model.training


@pytest.mark.parametrize("name", METHODS)
def test_every_method_learns_both_looks(name: str) -> None:
    model = attach(small_backbone(), build_method(name), 2, GATES).train()
    assert {"looks.threshold", "looks.turn"} < model.domain_state().keys()
    logits = model(torch.randn(4, 3, 64, 64))
    assert logits.shape == (4, 2)
    F.cross_entropy(logits, torch.tensor([0, 1, 1, 0])).backward()  # type: ignore[no-untyped-call]
    assert any(p.grad is not None for p in model.domain_parameters())
    assert model.eval()(torch.randn(2, 3, 64, 64)).isfinite().all()


def test_static_resolution_is_no_part_of_a_model() -> None:
    model = attach(small_backbone(), DA3(first_block=1), 3, GateConfig("resolution"))
    assert model.gates is None
