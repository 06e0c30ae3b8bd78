"""Small networks written as libraries write theirs: functions, subclasses, sizes, own weights."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.engines.torch.freezing.networks import seeded


class BatchNormAct(nn.BatchNorm2d):
    """A batch norm with its activation, which checks shapes and calls the function."""

    def __init__(self, channels: int, act: nn.Module | None = None) -> None:
        super().__init__(channels)
        self.drop = nn.Identity()
        self.act = nn.Identity() if act is None else act

    def forward(self, x: Tensor) -> Tensor:
        torch._assert(x.ndim == 4, f"expected 4D input (got {x.ndim}D input)")  # type: ignore[no-untyped-call]
        bn_training = self.training or self.running_mean is None
        statistics = self.running_mean, self.running_var
        x = F.batch_norm(x, *statistics, self.weight, self.bias, bn_training, 0.1, self.eps)
        y: Tensor = self.act(self.drop(x))
        return y


class ConvNormAct(nn.Module):
    def __init__(
        self, conv: nn.Module, channels: int, act: nn.Module | None = None, calls: int = 1
    ) -> None:
        super().__init__()
        self.conv, self.bn, self.calls = conv, BatchNormAct(channels, act), calls

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.calls):
            x = self.bn(self.conv(x))
        return x


def pad_same(x: Tensor, kernel: tuple[int, int], stride: tuple[int, int]) -> Tensor:
    """Pad as timm's function of that name does."""
    rows, columns = (
        max((math.ceil(side / s) - 1) * s + k - side, 0)
        for side, k, s in zip(x.size()[-2:], kernel, stride, strict=True)
    )
    return F.pad(x, [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2])


class ConvSame(nn.Conv2d):
    """Pads as TensorFlow does, by the size of the map."""

    def forward(self, x: Tensor) -> Tensor:
        x = pad_same(x, self.weight.shape[-2:], self.stride)  # type: ignore[arg-type]
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


class StandardConv(nn.Conv2d):
    """A convolution whose weight is standardised in each call."""

    def __init__(self, *args: int) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.gain = nn.Parameter(torch.rand(self.out_channels, 1, 1, 1) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        flat = self.weight.reshape(1, self.out_channels, -1)
        gain = (self.gain * 0.7).view(-1)
        flat = F.batch_norm(flat, None, None, weight=gain, training=True, momentum=0.0)
        weight = flat.reshape_as(self.weight)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


class CheckedNorm(nn.BatchNorm2d):
    """A subclass whose forward calls that of PyTorch, which decides by the dimensions."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


class Transposed(nn.Module):
    """Two convolutions, of which one has the other's weight in another order."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 3, 3, 3))
        self.norms = nn.ModuleList(nn.BatchNorm2d(3) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norms[0](F.conv2d(x, self.weight)))
        y: Tensor = self.norms[1](F.conv2d(x, self.weight.transpose(0, 1)))
        return y


class Shuffle(nn.Module):
    """Reshapes by sizes, of which the number of images must stay open."""

    def __init__(self) -> None:
        super().__init__()
        self.same = ConvSame(3, 4, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.same(x))
        n, c, h, w = x.shape
        ones = torch.ones(1, device=x.device)
        if h * w > 3 and x.device.type != "meta":
            x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, -1, h, w)
        first, second = x.chunk(2, dim=1)
        return torch.cat([second, first * 2 * ones], 1).mean((2, 3))


class BlurPool(nn.Module):
    """Mirrors the edges and blurs with a filter that is a buffer."""

    filter: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filter", torch.rand(4, 1, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (1, 1, 1, 1), "reflect")
        y: Tensor = F.conv2d(x, self.filter, stride=2, groups=4)
        return y


class Caches(nn.Module):
    """Computes something of its weights once for each device, as timm's LeViT does."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.biases = nn.Conv2d(3, 4, 3), nn.Parameter(torch.randn(4, 2))
        self.cache: dict[str, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv(x))
        key = str(x.device)
        if key not in self.cache:
            self.cache[key] = self.biases[:, [0, 1, 1]].sum(1)
        return x + self.cache[key].view(-1, 1, 1)


class Excite(nn.Module):
    """Squeeze-and-excitation of a smooth map that is computed in place, in three orders."""

    def __init__(self, act: type[nn.Module]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(c, 8, 3, bias=False) for c in (3, 8, 8))
        self.bns = nn.ModuleList(nn.BatchNorm2d(8) for _ in range(3))
        self.gates = nn.ModuleList(nn.Conv2d(8, 8, 1) for _ in range(3))
        self.act = act(inplace=act is not nn.ELU)

    def forward(self, x: Tensor) -> Tensor:
        for place, gate in enumerate(self.gates):
            conv, bn = self.convs[place], self.bns[place]
            x = self.act(bn(conv(x)))
            g = gate(x.mean((2, 3), keepdim=True)).sigmoid()
            if place < 2:
                x = g.mul(x) if place else x * g
        x += 0.5  # what the last gate multiplies is no longer what the activation gave
        y: Tensor = x * g
        return y


STYLES: dict[str, Callable[[], nn.Module]] = {
    "norm_act": seeded(
        lambda: nn.Sequential(
            ConvNormAct(nn.Conv2d(3, 8, 3, 2, 1, bias=False), 8, nn.ReLU()),
            ConvNormAct(nn.Conv2d(8, 8, 3, 1, 1, groups=8, bias=False), 8, nn.ReLU6(inplace=True)),
            ConvNormAct(nn.Conv2d(8, 8, 1), 8),
        )
    ),
    "shared_norm_act": seeded(lambda: ConvNormAct(nn.Conv2d(3, 3, 3, 1, 1), 3, nn.ReLU(), calls=2)),
    "standardised": seeded(
        lambda: nn.Sequential(StandardConv(3, 8, 3, 2, 1), nn.ReLU(), StandardConv(8, 4, 1))
    ),
    "caches": seeded(Caches),
    "transposed": seeded(Transposed),
    "prelu": seeded(
        lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.PReLU(8), nn.Conv2d(8, 4, 1), nn.PReLU())
    ),
    "edges": seeded(
        lambda: nn.Sequential(
            *(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.ReflectionPad2d((1, 2, 0, 1)), nn.Conv2d(8, 4, 3)),
            *(nn.ReLU(), nn.ReplicationPad2d(1), BlurPool(), nn.Conv2d(4, 4, 1)),
        )
    ),
    "hard": seeded(
        lambda: nn.Sequential(
            *(nn.Conv2d(3, 8, 3), nn.Hardsigmoid(), nn.Conv2d(8, 4, 1), nn.LeakyReLU(0.2, True)),
            *(nn.Conv2d(4, 4, 1), nn.Hardtanh(-0.5, 0.25), nn.Dropout(0.4)),
        )
    ),
}
EXCITED: dict[str, Callable[[], nn.Module]] = {
    name: seeded(lambda act=act: Excite(act))  # type: ignore[misc]
    for name, act in (("silu", nn.SiLU), ("hardswish", nn.Hardswish), ("elu", nn.ELU))
}
SIZED: dict[str, Callable[[], nn.Module]] = {
    "same": seeded(
        lambda: nn.Sequential(
            ConvNormAct(ConvSame(3, 8, 3, 2, bias=False), 8, nn.ReLU()),
            ConvNormAct(ConvSame(8, 8, 5, 2, groups=2), 8, nn.ReLU6()),
        )
    ),
    "checked": seeded(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), CheckedNorm(4), nn.ReLU())),
    "shuffle": seeded(Shuffle),
}
