"""What needs no backward, computed for few images at once: memory of some, time of all."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from addapt.memory.allocator import reusing_freed_memory

PIXELS_AT_ONCE = 224 * 224  # one image of the usual size, or some smaller ones


@torch.no_grad()
def few_at_once(
    layers: Callable[[Tensor], Tensor], x: Float[Tensor, "n c h w"]
) -> Float[Tensor, "n ..."]:
    """Compute `layers` of `x`; the maps inside, the largest of a network, are those of few images.

    Args:
        layers: frozen; what they make of an image depends on no other one.
        x: images.
    """
    at_once = max(1, PIXELS_AT_ONCE // (x.shape[2] * x.shape[3]))
    if x.is_cuda or len(x) <= at_once:  # a GPU would idle; and these maps may be the step's peak
        return layers(x)
    with reusing_freed_memory():
        first = layers(x[:at_once])
        out = torch.empty_like(first[:1].expand(len(x), *first.shape[1:]))
        out[:at_once] = first
        for start in range(at_once, len(x), at_once):
            out[start : start + at_once] = layers(x[start : start + at_once])
    return out
