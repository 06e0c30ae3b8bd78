"""Head only: a linear classifier on frozen features."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.methods.base import Adaptor
from addapt.memory.allocator import reusing_freed_memory
from addapt.methods import Head

PIXELS_AT_ONCE = 224 * 224  # one image of the usual size, or some smaller ones


class NoAdaptor(Adaptor):
    """The frozen features as they are."""

    def __init__(self, backbone: Backbone, method: Head) -> None:
        super().__init__()

    def forward(self, backbone: Backbone, x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n f"]:
        """Compute the backbone's features; backward ends here and keeps nothing."""
        if self.training and torch.is_grad_enabled():
            return few_at_once(backbone, x)
        with torch.no_grad():
            features: Tensor = backbone(x)
        return features


@torch.no_grad()
def few_at_once(
    layers: Callable[[Tensor], Tensor], x: Float[Tensor, "n c h w"]
) -> Float[Tensor, "n ..."]:
    """Compute frozen layers of images; the maps inside, the largest of a network, are few images'.

    What the layers make of an image depends on no other one.
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
