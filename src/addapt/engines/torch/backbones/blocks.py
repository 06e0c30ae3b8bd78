"""The blocks of these networks, built from their descriptions."""

from torch import Tensor, nn

from addapt.backbones import Block
from addapt.engines.torch.backbones.conv_bn import ConvBn


def build_block(block: Block) -> nn.Module:
    """Build a block, its weights yet to be filled in."""
    return InvertedResidual(block) if block.activation == "none" else ResidualBlock(block)


class InvertedResidual(nn.Module):
    """Expand by 1x1, depthwise k x k, project by 1x1; plus the input where shapes allow."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        *expand, depthwise, project = map(ConvBn, block.layers)
        self.expand = expand[0] if expand else None
        self.depthwise = depthwise
        self.project = project
        self.identity_shortcut = block.info.identity_shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, c_in, h, w) to (n, c_out, ceil(h / stride), ceil(w / stride))."""
        expanded = x if self.expand is None else self.expand(x)
        y: Tensor = self.project(self.depthwise(expanded))
        return y + x if self.identity_shortcut else y


class ResidualBlock(nn.Module):
    """relu(residual(x) + shortcut(x)); the shortcut is x itself where shapes allow."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.residual = nn.Sequential(*map(ConvBn, block.layers))
        self.shortcut = None if block.shortcut is None else ConvBn(block.shortcut)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, c_in, h, w) to (n, c_out, ceil(h / stride), ceil(w / stride))."""
        y = self.residual(x) + (x if self.shortcut is None else self.shortcut(x))
        activated: Tensor = self.activation(y)
        return activated
