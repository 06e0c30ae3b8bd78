"""The number of threads is one of the two that were tried, the faster one."""

from collections.abc import Iterator

import pytest
import torch

from addapt.engines.torch.backbones import Backbone
from addapt.learning import threads


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("faster", [1, 2])
def test_faster_number_is_used(
    tiny_backbone: Backbone, two_threads: None, monkeypatch: pytest.MonkeyPatch, faster: int
) -> None:
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 1 if torch.get_num_threads() == faster else 2
        return now

    monkeypatch.setattr("time.perf_counter", clock)
    assert threads.use_fastest_threads(tiny_backbone) == torch.get_num_threads() == faster


def test_one_core_needs_no_trial(tiny_backbone: Backbone) -> None:
    assert threads.use_fastest_threads(tiny_backbone) == torch.get_num_threads() == 1
