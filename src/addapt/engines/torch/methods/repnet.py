"""Rep-Net: a small side network reprograms the features of a frozen backbone.

Source: Yang, Rakin, Fan, "Rep-Net: Efficient On-Device Learning via Feature Reprogramming",
CVPR 2022; the authors' code is public.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from addapt.engines.torch.backbones import Backbone, BackboneInfo
from addapt.engines.torch.methods.base import AdaptedModel, Adaptor, Method, Recipe
from addapt.engines.torch.methods.bias import BackboneShifts
from addapt.engines.torch.methods.hyperparameters import check_counts, check_kernel, check_positive
from addapt.engines.torch.methods.lite_residual import LiteResidual, add_spread
from addapt.engines.torch.ops.grid import pool_beside

REDUCTION = 2  # the modules see maps of half the side
STEM = -1  # its place, before that of block 0


@dataclass(frozen=True)
class RepNet(Method):
    """Train a chain of small modules that exchanges features with the backbone at intervals.

    The modules stand beside chosen parts of the backbone: where a stage begins, and the last
    block. The first one reads the image, each later one `x`, what goes into its own part `f`:

        y = f(x) + spread(norm(W relu(norm(S p)))),    p = average_pool(x)

    The sum is the exchange, both ways: the backbone goes on with it, and so, from there, does the
    next module. `S` is a grouped k x k convolution, `W` a 1 x 1 convolution. The scale of the last
    norm starts at zero: before training the features are the backbone's own.

    Args:
        modules: how many, at most; the last ones of the possible places.
        kernel: side of the convolution `S`, odd.
        groups: of `S`; parts wider than 192 channels have more, of at most 96 channels.
        expand: hidden channels a channel of the input,
        width: but not more than this in all.
        biases: also train the biases of all frozen layers.

    *Deviations:* the source's modules have batch norm (group norm with MobileNetV3) and
    standardised weights; here it is group norm, which needs no batch, and ordinary weights. The
    head and the modules learn at one rate; there the modules learn at 5 times the head's. Spreading
    is nearest, not bilinear. On ResNets the source has a quarter of the input's channels hidden;
    here `width` and smaller groups keep the modules small. The places are those of the source
    for ResNet-50 and MobileNetV2, by a rule that serves any backbone.

    *Memory:* per module, that of a `LiteResidual` on maps of half the side; 1 bit for each element
    of a frozen ReLU behind the first module, or, with `biases`, of all of them.
    """

    name: ClassVar[str] = "repnet"
    summary: ClassVar[str] = "a small side network that exchanges features with frozen stages"
    why_kept: ClassVar[str] = "The side network is trained on its own small maps, which it keeps."
    recipe: ClassVar[Recipe] = Recipe(lr=3e-3, epochs=10, micro_batch=8, label_smoothing=0.1)

    modules: int = 6
    kernel: int = 5
    groups: int = 2
    expand: float = 1.0
    width: int = 192
    biases: bool = False

    def __post_init__(self) -> None:
        """Check the hyper-parameters.

        Raises:
            OptionError: one makes no sense.
        """
        check_counts("RepNet", modules=self.modules, groups=self.groups, width=self.width)
        check_kernel("RepNet", self.kernel)
        check_positive("RepNet", "expand", self.expand, "1")

    def attach(self, backbone: Backbone, classes: int) -> AdaptedModel:
        """Make a model with a side network beside the backbone."""
        return AdaptedModel(backbone, SideNetwork(backbone, self), classes)


class SideNetwork(Adaptor):
    """The modules, by the place of each, and the biases' shifts where they are trained."""

    def __init__(self, backbone: Backbone, method: RepNet) -> None:
        super().__init__()
        info = backbone.info
        self.shifts = BackboneShifts(backbone, trained=method.biases)
        self.places = places(info)[-method.modules :]
        self.side_modules = nn.ModuleList(
            LiteResidual(
                3 if place == self.places[0] else info.blocks[place].in_channels,
                info.blocks[0].in_channels if place == STEM else info.blocks[place].out_channels,
                stride=1,
                kernel=method.kernel,
                groups=method.groups,
                expand=method.expand,
                width=method.width,
            )
            for place in self.places
        )

    def forward(self, backbone: Backbone, x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n f"]:
        """Compute the reprogrammed features; nothing before the first module needs backward."""
        stem, blocks, tail = self.shifts.applied_to(backbone)
        image = x
        side_modules = dict(zip(self.places, self.side_modules, strict=True))
        for place, part in enumerate((stem, *blocks), start=STEM):
            if place not in side_modules:
                x = part(x)
                continue
            if place == self.places[0]:
                y = part(x)
                h, w = y.shape[2:]
                grid = math.ceil(h / REDUCTION), math.ceil(w / REDUCTION)
                p = F.adaptive_avg_pool2d(image, grid)
            else:
                x, p = pool_beside(x, REDUCTION)
                y = part(x)
            x = add_spread(y, side_modules[place](p), x)
        features: Tensor = tail(x)
        return features


def places(info: BackboneInfo) -> list[int]:
    """Return where modules can stand: the stem, each block that begins a stage, the last block."""
    last = len(info.blocks) - 1
    starts = [i for i, block in enumerate(info.blocks) if not block.identity_shortcut]
    return [STEM, *starts, *([last] if last not in starts else [])]
