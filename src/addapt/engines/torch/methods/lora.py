"""LoRA: a trained low-rank update of each convolution's weight, which may be merged into it.

Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022, for linear
layers; for convolutions as the package peft has it.
"""

import copy
import math
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from addapt._errors import OptionError
from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.freezing import FrozenConv2d
from addapt.engines.torch.methods.base import AdaptedModel, Method, Recipe
from addapt.engines.torch.methods.convolutions import ConvolutionAdaptor, convolutions
from addapt.engines.torch.methods.hyperparameters import check_counts, check_positive


@dataclass(frozen=True)
class LoRA(Method):
    """A low-rank update of the weight of every convolution.

    For a convolution with weight W, seen as a matrix of a row an output channel:

        y = activation((W + alpha / rank B A) * x + b)

    A has `rank` rows, each shaped as a kernel of W, and starts random; B starts at zero, so that
    before training the features are the backbone's own, bit for bit. Where W has one group, B A x
    is computed as what it is, a convolution by A to `rank` channels and a 1 x 1 by B; where it has
    several (depthwise), the small update is added to the weight. `merged_backbone` adds it for
    good: a domain then costs no more time than the backbone alone.

    Args:
        rank: of the update; no more than the kernel's elements for a convolution in groups.
        alpha: the update counts alpha / rank times.

    *Deviations:* the source adapts linear layers. The weights that are updated have the batch
    norms folded into them; statistics and shifts of the norms stay the backbone's, and biases are
    not trained. For grouped convolutions peft makes A grouped, too, which a depthwise one has no
    use for: here the update of the whole weight has the rank.

    *Memory:* A is trained, so that the input of every convolution must be kept: 4 n c_in h w
    bytes, and 4 n rank h2 w2 for B. All else is lean, 1 bit for each element of a ReLU.
    """

    name: ClassVar[str] = "lora"
    summary: ClassVar[str] = "a low-rank update of every convolution's weight"
    why_kept: ClassVar[str] = (
        "The first low-rank factor is trained on the input of each convolution, kept whole."
    )
    recipe: ClassVar[Recipe] = Recipe(lr=1e-3, epochs=10, micro_batch=8, label_smoothing=0.1)

    rank: int = 8
    alpha: float = 8.0

    def __post_init__(self) -> None:
        """Check the hyper-parameters.

        Raises:
            OptionError: one makes no sense.
        """
        check_counts("LoRA", rank=self.rank)
        check_positive("LoRA", "alpha", self.alpha, "8")

    def attach(self, backbone: Backbone, classes: int) -> AdaptedModel:
        """Make a model with an update of every convolution.

        Raises:
            OptionError: the backbone is plain.
        """
        adaptor = ConvolutionAdaptor(backbone, partial(LowRank, method=self))
        return AdaptedModel(backbone, adaptor, classes)


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
