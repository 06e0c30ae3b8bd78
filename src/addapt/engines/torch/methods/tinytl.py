"""TinyTL: biases and lite residual modules beside frozen blocks."""

from jaxtyping import Float
from torch import Tensor, nn

from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.methods.base import Adaptor
from addapt.engines.torch.methods.bias import BackboneShifts
from addapt.engines.torch.methods.lite_residual import LiteResidual, add_spread
from addapt.engines.torch.ops.grid import pool_beside
from addapt.methods import TinyTL


class LiteResiduals(Adaptor):
    """The lite residual modules of all blocks, and the biases' shifts where they are trained."""

    def __init__(self, backbone: Backbone, method: TinyTL) -> None:
        super().__init__()
        self.reduction = method.reduction
        self.shifts = BackboneShifts(backbone, trained=method.biases)
        self.residuals = nn.ModuleList(
            LiteResidual(block.in_channels, block.out_channels, method, stride=block.stride)
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
