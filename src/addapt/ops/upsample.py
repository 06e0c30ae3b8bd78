"""Adding a small map to a large one."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def add_upsampled(
    y: Float[Tensor, "n c h w"], small: Float[Tensor, "n c h2 w2"]
) -> Float[Tensor, "n c h w"]:
    """Return y + small, bilinearly resized to y's size (align_corners=False).

    Torch's own graph of these operations keeps only sizes, and its kernels are as fast
    as two matrix products, so there is no autograd function here.

    *Memory:* nothing.
    """
    # One pixel stays a constant, which broadcasting adds without making it large first.
    if small.shape[2:] in (y.shape[2:], (1, 1)):
        return y + small
    # The resized map is fresh and its backward does not look at it: it takes the sum.
    return F.interpolate(small, y.shape[2:], mode="bilinear").add_(y)


def add_upsampled_kept_bytes(count: int) -> int:
    """Return the bytes that `add_upsampled` keeps of `count` elements: none."""
    return 0


def add_upsampled_reference(
    y: Float[Tensor, "n c h w"], small: Float[Tensor, "n c h2 w2"]
) -> Float[Tensor, "n c h w"]:
    """Compute what `add_upsampled` does, the plain way."""
    return y + F.interpolate(small, y.shape[2:], mode="bilinear", align_corners=False)
