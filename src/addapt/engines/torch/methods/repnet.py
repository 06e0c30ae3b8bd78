"""Rep-Net: a small side network reprograms the features of a frozen backbone."""

import math

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from addapt.backbones import BackboneInfo
from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.methods.base import Adaptor
from addapt.engines.torch.methods.bias import BackboneShifts
from addapt.engines.torch.methods.lite_residual import LiteResidual, add_spread
from addapt.engines.torch.ops.grid import pool_beside
from addapt.methods import RepNet

REDUCTION = 2  # the modules see maps of half the side
STEM = -1  # its place, before that of block 0


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
                method,
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
