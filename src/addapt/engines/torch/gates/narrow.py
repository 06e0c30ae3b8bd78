"""A block with some of its inner channels left out."""

import copy
from collections.abc import Mapping, Sequence
from typing import cast

import torch
from jaxtyping import Int
from torch import Tensor, fx, nn
from torch.func import functional_call

from addapt._errors import OptionError
from addapt.engines.torch.freezing import FrozenConv2d


class NarrowBlock(nn.Module):
    """The same block made of dense, narrower convolutions, with weights of its own.

    Args:
        block: of a lean backbone.
        layers: names of its convolutions, see `BlockInfo.inner_layers`.
        channels: the inner channels that stay, the same between all these layers.
    """

    def __init__(
        self, block: nn.Module, layers: Sequence[str], channels: Int[Tensor, " k"]
    ) -> None:
        super().__init__()
        if not isinstance(block, fx.GraphModule):
            raise OptionError(
                "Channels can be left out of a lean backbone's blocks only: use load_backbone, or "
                "Backbone.lean()."
            )
        parts = dict(block.named_modules())
        for place, name in enumerate(layers):
            conv = parts[name]
            assert isinstance(conv, FrozenConv2d)
            parts[name] = narrow_conv(
                conv,
                out=channels if place < len(layers) - 1 else None,
                inputs=channels if place > 0 else None,
            )
        targets = {str(node.target) for node in block.graph.nodes if node.op == "call_module"}
        self._module = fx.GraphModule(
            {name: parts[name] for name in targets}, copy.deepcopy(block.graph)
        )
        self._channels = channels
        self._cut = {f"{name}.{kind}" for name in layers[:-1] for kind in ("bias", "tiles")}

    def forward(self, x: Tensor, biases: Mapping[str, Tensor]) -> Tensor:
        """Compute the block with these biases, by name in the whole block, where there are some."""
        own = dict(biases)
        for name in self._cut & biases.keys():
            own[name] = biases[name].index_select(_channel_dim(biases[name]), self._channels)
        return cast(Tensor, functional_call(self._module, own, (x,), tie_weights=False))


def _channel_dim(bias: Tensor) -> int:
    """Say which dimension of a bias, or of an image's tiles, is channels."""
    return 0 if bias.dim() == 1 else 1


def narrow_conv(
    conv: FrozenConv2d, out: Int[Tensor, " k"] | None, inputs: Int[Tensor, " k"] | None
) -> FrozenConv2d:
    """Keep of a convolution some channels of its output, of its input, or of both.

    A depthwise one keeps those of its output.
    """
    weight, geometry = conv.plain_weight().detach(), conv.geometry
    bias = None if conv.bias is None else conv.bias.detach()
    channels_last = weight.is_contiguous(memory_format=torch.channels_last)
    if out is not None:
        weight = weight[out]
        bias = None if bias is None else bias[out]
    if geometry.groups == conv.channels and out is not None:
        geometry = geometry._replace(groups=len(out))
    elif inputs is not None:
        weight = weight[:, inputs]
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return FrozenConv2d(weight.contiguous(memory_format=layout), bias, geometry)
