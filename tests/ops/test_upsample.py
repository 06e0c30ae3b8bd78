"""What the case table does not ask of adding a small map."""

import math

import torch

from addapt.ops.upsample import add_upsampled


def test_infinity_and_nan_stay_where_they_are_when_nothing_is_resized() -> None:
    y = torch.zeros(1, 1, 3, 4)
    for spoiler in (math.inf, math.nan):
        small = torch.zeros(1, 1, 3, 4)
        small[0, 0, 1, 2] = spoiler
        assert add_upsampled(y, small).isfinite().sum() == y.numel() - 1


def test_one_pixel_is_added_everywhere() -> None:
    y, pixel = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 1, 1)
    assert torch.equal(add_upsampled(y, pixel), y + pixel)
