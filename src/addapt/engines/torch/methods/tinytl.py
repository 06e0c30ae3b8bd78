"""TinyTL: biases and lite residual modules beside frozen blocks.

Source: Cai, Gan, Zhu, Han, "TinyTL: Reduce Memory, Not Parameters for Efficient On-Device
Learning", NeurIPS 2020; the authors' code is public.
"""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.methods.base import AdaptedModel, Adaptor, Method, Recipe
from addapt.engines.torch.methods.bias import BackboneShifts
from addapt.engines.torch.methods.hyperparameters import check_counts, check_kernel, check_positive
from addapt.engines.torch.methods.lite_residual import LiteResidual, add_spread
from addapt.engines.torch.ops.grid import pool_beside


@dataclass(frozen=True)
class TinyTL(Method):
    """Train all biases, and a lite residual module beside every block.

    For block `f` with input `x`, its biases shifted by what is trained:

        y = f(x) + spread(norm(W relu(norm(S p)))),    p = average_pool(x)

    `S` is a grouped k x k convolution with the block's stride, `W` a 1 x 1 convolution. The
    scale of the last norm starts at zero: before training the features are the backbone's own.

    Args:
        reduction: side of the squares that `p` averages.
        kernel: side of the convolution `S`, odd.
        groups: of `S`; blocks wider than 192 channels have more, of at most 96 channels.
        expand: hidden channels a channel of the block's input,
        width: but not more than this in all.
        biases: also train the biases; without, it is the variant called TinyTL-L.

    *Deviations:* the source pre-trains backbone and modules together on ImageNet, with group
    norm and standardised weights everywhere, and quantises frozen weights to 8 bits; here the
    backbone keeps its batch norms with frozen statistics, and the modules start from random
    weights, with group norm (8 channels a group, as there) and ordinary weights. Spreading is
    nearest, not bilinear, so that it writes into the block's output. Kernels do not shrink where
    a map is smaller than they are. The source has inverted residuals only; `width` and
    smaller groups are ours, and keep the modules of a ResNet's wide blocks lite.

    *Memory:* per block, that of a `LiteResidual` on the pooled maps, which are 1 / reduction^2 of
    the block's input and output, and 1 bit for each element of a frozen ReLU.
    """

    name: ClassVar[str] = "tinytl"
    summary: ClassVar[str] = "trained biases and lite residual modules beside frozen blocks"
    why_kept: ClassVar[str] = (
        "Residual modules are trained on pooled maps, which they keep; biases need none."
    )
    recipe: ClassVar[Recipe] = Recipe(lr=3e-3, epochs=10, micro_batch=8, label_smoothing=0.1)

    reduction: int = 2
    kernel: int = 5
    groups: int = 2
    expand: float = 1.0
    width: int = 192
    biases: bool = True

    def __post_init__(self) -> None:
        """Check the hyper-parameters.

        Raises:
            OptionError: one makes no sense.
        """
        check_counts("TinyTL", reduction=self.reduction, groups=self.groups, width=self.width)
        check_kernel("TinyTL", self.kernel)
        check_positive("TinyTL", "expand", self.expand, "1")

    def attach(self, backbone: Backbone, classes: int) -> AdaptedModel:
        """Make a model with a lite residual module beside each block."""
        return AdaptedModel(backbone, LiteResiduals(backbone, self), classes)


class LiteResiduals(Adaptor):
    """The lite residual modules of all blocks, and the biases' shifts where they are trained."""

    def __init__(self, backbone: Backbone, method: TinyTL) -> None:
        super().__init__()
        self.reduction = method.reduction
        self.shifts = BackboneShifts(backbone, trained=method.biases)
        self.residuals = nn.ModuleList(
            LiteResidual(
                block.in_channels,
                block.out_channels,
                stride=block.stride,
                kernel=method.kernel,
                groups=method.groups,
                expand=method.expand,
                width=method.width,
            )
            for block in backbone.info.blocks
        )

    def forward(self, backbone: Backbone, x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n f"]:
        """Compute adapted features."""
        stem, blocks, tail = self.shifts.applied_to(backbone)
        x = stem(x)
        for block, residual in zip(blocks, self.residuals, strict=True):
            x, p = pool_beside(x, self.reduction)
            x = add_spread(block(x), residual(p), x)
        features: Tensor = tail(x)
        return features
