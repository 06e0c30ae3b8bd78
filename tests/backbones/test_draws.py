"""PyTorch's random numbers, compared with PyTorch's."""

import numpy as np
import pytest
import torch
from torch import nn

from addapt.backbones.draws import UniformDraws

# PyTorch's code for processors without AVX2 rounds twice, and its numbers differ in the last bit.
rounds_once = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() == "DEFAULT", reason="PyTorch may round twice here"
)


@rounds_once
@pytest.mark.parametrize("seed", [0, 7, 2**32 + 5, -3])
def test_draws_are_those_of_pytorch_one_after_the_other(seed: int) -> None:
    torch.manual_seed(seed)
    draws = UniformDraws(seed)
    for shape, bound in (((1000,), 0.3), ((2, 3, 5, 5), 1 / 75**0.5), ((), 1.0), ((0, 3), 1.0)):
        drawn = draws.uniform(shape, bound)
        assert drawn.dtype == np.float32
        assert np.array_equal(drawn, torch.empty(shape).uniform_(-bound, bound).numpy())
    torch.empty(5).uniform_()
    draws.skip(5)
    assert np.array_equal(draws.uniform((3,), 2), torch.empty(3).uniform_(-2, 2).numpy())


@rounds_once
def test_layers_of_pytorch_can_be_drawn() -> None:
    torch.manual_seed(1)
    draws = UniformDraws(1)
    for layer in (nn.Conv2d(6, 4, 3, groups=2), nn.Linear(7, 5)):
        bound = layer.weight[0].numel() ** -0.5
        for parameter in (layer.weight, layer.bias):
            assert parameter is not None
            drawn = draws.uniform(tuple(parameter.shape), bound)
            assert np.array_equal(drawn, parameter.detach().numpy())


def test_the_draws_of_a_seed_never_change() -> None:
    """Domains hold what was learned on top of them."""
    drawn = [float.hex(float(x)) for x in UniformDraws(0).uniform((3,), 1.0)]
    assert drawn == ["-0x1.eaa8000000000p-8", "0x1.12a8bc0000000p-1", "-0x1.a5662c0000000p-1"]
