"""The count of multiply-adds against one by hand and against torch's own."""

import threading

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from addapt.engines.torch.gates import count_multiply_adds
from tests.engines.torch.gates.small_backbones import plain_small_backbone


def test_by_hand() -> None:
    network = nn.Sequential(
        nn.Conv2d(4, 6, (3, 1), stride=2, padding=1, groups=2), nn.ReLU(), nn.Flatten()
    )
    x = torch.zeros(2, 4, 5, 5)  # to 6 x 3 x 4: each is made of 3 x 1 x 2 products
    assert count_multiply_adds(network, x) == 2 * 6 * 3 * 4 * (3 * 1 * 2)
    assert count_multiply_adds(nn.Linear(5, 3), torch.zeros(2, 5)) == 2 * 15
    assert count_multiply_adds(network, x) == 2 * 6 * 3 * 4 * (3 * 1 * 2)  # nothing stays behind


def test_as_torch_counts() -> None:
    plain = plain_small_backbone("inverted")
    x = torch.zeros(1, 3, 64, 64)
    with FlopCounterMode(display=False) as flops:
        plain(x)
    assert 2 * count_multiply_adds(plain, x) == flops.get_total_flops()
    assert count_multiply_adds(plain.lean(), x) == count_multiply_adds(plain, x)


def test_what_other_threads_compute_is_not_counted() -> None:
    layer, x = nn.Linear(5, 3), torch.zeros(1, 5)

    def forward(x: Tensor) -> None:
        others = threading.Thread(target=layer, args=(x,))
        others.start()
        others.join()
        layer(x)

    assert count_multiply_adds(forward, x) == 15
