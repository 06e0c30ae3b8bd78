"""AdamW in numpy against torch.optim's class, and against the one of the engine on PyTorch."""

import numpy as np
import pytest
import torch
from torch import nn

from addapt.engines.onnx.adamw import AdamW
from addapt.engines.torch.adamw import AdamW as TorchAdamW
from addapt.engines.torch.adamw import ParameterGroup

SIZE = 1001
STEPS = 60
SHARES = [0.1, 0.5, *np.linspace(1, 0, STEPS - 2)]  # of the peak rate: up, then down to nothing


def gradients() -> list[np.ndarray]:
    """Draw some that are tiny, huge, and zero all the time."""
    rng = np.random.default_rng(0)
    scale = 10.0 ** rng.uniform(-12, 4, SIZE)
    scale[::10] = 0
    return [(scale * rng.normal(0, 1, SIZE)).astype(np.float32) for _ in range(STEPS)]


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_equals_both_of_torchs(weight_decay: float) -> None:
    lr = 3e-2
    start = np.random.default_rng(1).normal(0, 1, SIZE).astype(np.float32)
    values, ours = start.copy(), AdamW(SIZE, lr, weight_decay)
    classic, lean = (nn.Parameter(torch.from_numpy(start.copy())) for _ in range(2))
    reference = torch.optim.AdamW([classic], lr=lr, weight_decay=weight_decay)
    other = TorchAdamW([ParameterGroup([lean], lr)], weight_decay)
    for share, gradient in zip(SHARES, gradients(), strict=True):
        for parameter in (classic, lean):
            parameter.grad = torch.from_numpy(gradient.copy())
        reference.param_groups[0]["lr"] = lr * share
        reference.step()
        other.step(share)
        ours.step(values, gradient.copy(), share)
        for parameter in (classic, lean):
            np.testing.assert_allclose(values, parameter.detach().numpy(), rtol=1e-6, atol=1e-6)
    moved = np.abs(values - start)
    assert moved[np.arange(SIZE) % 10 > 0].min() > 0
    state = reference.state[classic]
    largest = np.abs(gradients()).max(0)
    for found, key, scale in (
        (ours.average, "exp_avg", largest),
        (ours.square_average, "exp_avg_sq", largest**2),
    ):
        assert (np.abs(found - state[key].numpy()) <= 1e-6 * scale).all()
    assert ours.steps == state["step"] == STEPS


def test_zero_gradients_change_nothing_but_by_decay() -> None:
    values = np.ones(3, np.float32)
    AdamW(3, 0.1, 0.0).step(values, np.zeros(3, np.float32), 1.0)
    assert values.tolist() == [1, 1, 1]
    AdamW(3, 0.1, 0.5).step(values, np.zeros(3, np.float32), 0.5)
    np.testing.assert_allclose(values, 1 - 0.1 * 0.5 * 0.5, rtol=1e-7)


def test_what_is_no_number_is_not_hidden() -> None:
    """Learning looks at the values to see that it went wrong."""
    values, gradient = np.ones(3, np.float32), np.array([np.nan, np.inf, 0], np.float32)
    AdamW(3, 0.1, 0.0).step(values, gradient, 1.0)
    assert np.isfinite(values).tolist() == [False, False, True]
