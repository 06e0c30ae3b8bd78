"""Convolution, batch norm, activation: the unit all these networks are made of."""

from torch import Tensor, nn

from addapt.engines.torch.ops.grid import add_grid


class ConvBn(nn.Sequential):
    """Convolution without bias, batch norm, and the activation if there is one.

    `pad` comes first where the convolution cannot do the padding itself. `tiles` is where a method
    may put a grid (n, c_out, gh, gw) of biases, added before the activation, for each image and
    square of the map.

    Random weights are He's: they keep the signal's energy where batch norms do nothing yet.
    """

    tiles: Tensor | None

    def __init__(
        self,
        conv: nn.Conv2d,
        activation: nn.Module | None = None,
        eps: float = 1e-5,
        pad: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if pad is not None:
            self.pad = pad
        self.conv = conv
        self.bn = nn.BatchNorm2d(conv.out_channels, eps=eps)
        if activation is not None:
            self.activation = activation
        self.register_buffer("tiles", None, persistent=False)
        # uniform: on the meta device a normal draw would load torch's compiler, which takes seconds
        nn.init.kaiming_uniform_(
            conv.weight, nonlinearity="linear" if activation is None else "relu"
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, c_in, h, w) to (n, c_out, h2, w2)."""
        for name, layer in self.named_children():
            x = layer(x)
            if name == "bn" and self.tiles is not None:
                x = add_grid(x, self.tiles)
        return x
