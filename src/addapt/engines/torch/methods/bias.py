"""Bias: what is added after each frozen convolution is trained, and the head."""

from functools import partial
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.freezing import trained_biases
from addapt.engines.torch.methods.base import Adaptor
from addapt.methods import Bias


class Shifts(nn.Module):
    """What is added to one block's biases; their gradient needs no activation."""

    def __init__(self, block: nn.Module, trained: bool) -> None:
        super().__init__()
        biases = trained_biases(block) if trained else {}
        self.names = list(biases)
        self.values = nn.ParameterList(bias.new_zeros(bias.shape) for bias in biases.values())

    def applied_to(self, block: nn.Module) -> dict[str, Tensor]:
        """Return the shifted biases under the names that they replace in the block."""
        return {
            name: block.get_parameter(name) + shift
            for name, shift in zip(self.names, self.values, strict=True)
        }


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

    def __init__(self, backbone: Backbone, method: Bias) -> None:
        super().__init__()
        self.shifts = BackboneShifts(backbone)

    def forward(self, backbone: Backbone, x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n f"]:
        """Compute adapted features."""
        stem, blocks, tail = self.shifts.applied_to(backbone)
        for part in (stem, *blocks, tail):
            x = part(x)
        return x
