"""Bias: what is added after each frozen convolution is trained, and the head.

Source: Cai, Gan, Zhu, Han, "TinyTL: Reduce Memory, Not Parameters for Efficient On-Device
Learning", NeurIPS 2020, where it is the variant called TinyTL-B.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.methods.base import AdaptedModel, Adaptor, Method, Recipe
from addapt.engines.torch.methods.shifts import Shifts


class BackboneShifts(nn.Module):
    """The trained shifts of all biases of a backbone: of stem, blocks and tail."""

    def __init__(self, backbone: Backbone, *, trained: bool = True) -> None:
        super().__init__()
        self.parts = nn.ModuleList(Shifts(part, trained) for _, part in backbone.named_parts())

    def applied_to(self, backbone: Backbone) -> tuple[Any, list[Any], Any]:
        """Return stem, blocks and tail as functions that compute with shifted biases."""
        stem, *blocks, tail = (
            partial(functional_call, part, shifts.applied_to(part), tie_weights=False)
            for (_, part), shifts in zip(backbone.named_parts(), self.parts, strict=True)
            if isinstance(shifts, Shifts)
        )
        return stem, blocks, tail


class TrainedBiases(Adaptor):
    """The backbone with its biases shifted."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.shifts = BackboneShifts(backbone)

    def forward(self, backbone: Backbone, x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n f"]:
        """Compute adapted features."""
        stem, blocks, tail = self.shifts.applied_to(backbone)
        for part in (stem, *blocks, tail):
            x = part(x)
        return x


@dataclass(frozen=True)
class Bias(Method):
    """Train the biases of all frozen layers, from the stem to the tail.

    For every layer y = activation(w * x + b + residual), with its batch norm folded into w and b:

        y = activation(w * x + (b + shift) + residual)

    The shifts start at zero: before training the features are the backbone's own.

    *Deviations:* the source trains biases of group norms, which its backbones were given and
    pre-trained with anew; here they are those of batch norms with frozen statistics.

    *Memory:* 1 bit for each element of a ReLU and 1 byte for each of a max pooling's output; a
    bias's gradient needs nothing. A plain backbone keeps the maps themselves.
    """

    name: ClassVar[str] = "bias"
    summary: ClassVar[str] = "trained biases of all frozen layers"
    why_kept: ClassVar[str] = (
        "A bias's gradient needs no map; bits of the activations pass the gradient on."
    )
    recipe: ClassVar[Recipe] = Recipe(lr=3e-3, epochs=10, micro_batch=8, label_smoothing=0.1)

    def attach(self, backbone: Backbone, classes: int) -> AdaptedModel:
        """Make a model that trains shifts of the backbone's biases."""
        return AdaptedModel(backbone, TrainedBiases(backbone), classes)
