"""Padding with what stands at the edges; keeps nothing."""

from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from addapt.engines.torch.ops.differentiate import asks_for_gradient, only_once

Edges = Literal["reflect", "replicate"]
Sides = tuple[int, int, int, int]
_BACKWARD = {
    "reflect": torch.ops.aten.reflection_pad2d_backward,
    "replicate": torch.ops.aten.replication_pad2d_backward,
}


def pad_edges(
    x: Float[Tensor, "n c h w"], sides: Sides, edges: Edges
) -> Float[Tensor, "n c h2 w2"]:
    """Pad left, right, top and bottom of a map; arguments as in torch.nn.functional.pad.

    *Memory:* nothing; torch's own keeps `x`.
    """
    if asks_for_gradient(x):
        return cast(Tensor, _PadEdges.apply(x, sides, edges))  # type: ignore[no-untyped-call]
    return F.pad(x, sides, edges)


class _PadEdges(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, sides: Sides, edges: Edges) -> Tensor:
        ctx.sides, ctx.backward_of_torch, ctx.shape = sides, _BACKWARD[edges], x.shape
        ctx.channels_last = x.is_contiguous(memory_format=torch.channels_last)
        return F.pad(x, sides, edges)

    @staticmethod
    @only_once
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        last = torch.channels_last if ctx.channels_last else torch.contiguous_format
        # Stands in for the input, of which only the shape is used.
        like = torch.empty(ctx.shape, dtype=grad.dtype, device=grad.device, memory_format=last)
        return ctx.backward_of_torch(grad, like, ctx.sides), None, None
