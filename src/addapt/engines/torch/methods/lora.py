"""LoRA: a trained low-rank update of each convolution's weight, which may be merged into it."""

import copy
import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from addapt._errors import OptionError
from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.freezing import FrozenConv2d
from addapt.engines.torch.methods.base import AdaptedModel
from addapt.engines.torch.methods.convolutions import ConvolutionAdaptor, convolutions
from addapt.methods import LoRA


class LowRank(nn.Module):
    """The update of one convolution."""

    def __init__(self, convolution: FrozenConv2d, method: LoRA) -> None:
        super().__init__()
        weight = convolution.plain_weight()
        kernel = weight[0]
        grouped = convolution.geometry.groups > 1
        rank = min(method.rank, kernel.numel()) if grouped else method.rank
        self.scale = method.alpha / method.rank
        self.down = nn.Parameter(weight.new_empty(rank, *kernel.shape))
        self.up = nn.Parameter(weight.new_zeros(convolution.channels, rank, 1, 1))
        # As torch initialises a convolution.
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def update(self) -> Float[Tensor, "c_out c_in/groups kh kw"]:
        """Return what is added to the convolution's weight."""
        rows = self.up.flatten(1) @ self.down.flatten(1)
        return self.scale * rows.view(len(self.up), *self.down.shape[1:])

    def forward(
        self,
        convolution: FrozenConv2d,
        x: Float[Tensor, "n c_in h w"],
        residual: Float[Tensor, "n c_out h2 w2"] | None = None,
    ) -> Float[Tensor, "n c_out h2 w2"]:
        """Compute activation((weight + update) * x + bias + residual)."""
        geometry = convolution.geometry
        if geometry.groups > 1:
            weight = convolution.plain_weight() + self.update()
            y = F.conv2d(x, weight, convolution.bias, *geometry[:4])
            return convolution.activate(y, residual)
        low = F.conv2d(x, self.down, None, *geometry[:3])
        beside = F.conv2d(low, self.scale * self.up)
        whole: Tensor = convolution(x, beside if residual is None else beside.add_(residual))
        return whole


@torch.no_grad()
def merged_backbone(model: AdaptedModel) -> Backbone:
    """Return a copy of a LoRA model's backbone with the updates in its weights.

    Raises:
        OptionError: the model was made by another method.
    """
    backbone = copy.deepcopy(model.backbone)
    weights = f"{backbone.info.weights}, LoRA merged"
    backbone.info = replace(backbone.info, weights=weights, weights_sha256="")
    backbone.load_plain = None  # it would load the weights without the updates
    adaptor = model.adaptor
    for name, convolution in convolutions(backbone):
        layer = adaptor.layer_of(name) if isinstance(adaptor, ConvolutionAdaptor) else None
        if not isinstance(layer, LowRank):
            raise OptionError("Only a model that was made by LoRA has updates to merge.")
        convolution.unpack()
        convolution.plain_weight().add_(layer.update())
    return backbone
