"""Convolution, batch norm, activation: the unit all these networks are made of."""

from torch import nn


class ConvBn(nn.Sequential):
    """Convolution without bias, batch norm, and the activation if there is one.

    `pad` comes first where the convolution cannot do the padding itself.

    Random weights are He's: they keep the energy of the signal through a deep
    network whose batch norms do nothing yet.
    """

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
        # uniform: on the meta device a normal draw would load torch's compiler, which takes seconds
        nn.init.kaiming_uniform_(
            conv.weight, nonlinearity="linear" if activation is None else "relu"
        )
