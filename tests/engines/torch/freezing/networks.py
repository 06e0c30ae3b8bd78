"""Small plain networks of many families, with random weights, to be frozen."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from addapt.backbones import BACKBONES
from addapt.engines.torch.backbones import load_backbone
from tests.engines.torch.backbones.reference_networks import randomised


def conv_bn(
    c_in: int, c_out: int, k: int, *, act: bool = True, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Make convolution, batch norm and ReLU, the size unchanged at stride 1."""
    conv = nn.Conv2d(c_in, c_out, k, stride, k // 2, groups=groups, bias=False)
    layers: list[nn.Module] = [conv, nn.BatchNorm2d(c_out)]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if act else []))


class Vgg(nn.Sequential):
    """Convolutions with bias, some with a batch norm; max pools; dropout and linear layers."""

    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True)),
            *(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2, 2)),
            *(nn.Conv2d(8, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.AdaptiveAvgPool2d((3, 3)), nn.Flatten(), nn.Linear(108, 20)),
            *(nn.ReLU(True), nn.Dropout(), nn.Linear(20, 7)),
        )


class ShuffleUnit(nn.Module):
    """Half of the channels goes round, then the channels of both halves are shuffled."""

    def __init__(self, c: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        inner = c if stride == 2 else c // 2
        if stride == 2:
            self.branch1 = nn.Sequential(
                conv_bn(c, c, 3, act=False, stride=2, groups=c), conv_bn(c, c, 1)
            )
        self.branch2 = nn.Sequential(
            conv_bn(inner, inner, 1),
            conv_bn(inner, inner, 3, act=False, stride=stride, groups=inner),
            conv_bn(inner, inner, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 1:
            first, second = x.chunk(2, dim=1)
            out = torch.cat((first, self.branch2(second)), dim=1)
        else:
            out = torch.cat((self.branch1(x), self.branch2(x)), dim=1)
        n, c, h, w = out.size()
        return out.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, -1, h, w)


class ShuffleNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn(3, 8, 3, stride=2)
        self.stage = nn.Sequential(ShuffleUnit(8, 2), ShuffleUnit(16, 1), ShuffleUnit(16, 1))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.stage(self.stem(x))
        return y.mean([2, 3])


class DenseLayer(nn.Module):
    """Batch norm and ReLU first, then the convolution; the result is added as new channels."""

    def __init__(self, c_in: int, growth: int) -> None:
        super().__init__()
        self.norm1, self.relu1 = nn.BatchNorm2d(c_in), nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(c_in, 2 * growth, 1, bias=False)
        self.norm2, self.relu2 = nn.BatchNorm2d(2 * growth), nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(2 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        new = self.conv2(self.relu2(self.norm2(self.conv1(self.relu1(self.norm1(x))))))
        return torch.cat([x, new], 1)


class DenseNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv_bn(3, 8, 3, stride=2), nn.MaxPool2d(3, 2, 1))
        self.block = nn.Sequential(DenseLayer(8, 4), DenseLayer(12, 4))
        self.transition = nn.Sequential(
            nn.BatchNorm2d(16), nn.ReLU(inplace=True), nn.Conv2d(16, 8, 1), nn.AvgPool2d(2, 2)
        )
        self.norm = nn.BatchNorm2d(8)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.transition(self.block(self.stem(x)))), inplace=True)
        return torch.flatten(F.adaptive_avg_pool2d(x, (1, 1)), 1)


class SqueezeExcite(nn.Module):
    def __init__(self, c: int, activation: nn.Module, gate: nn.Module) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc1, self.fc2 = nn.Conv2d(c, 4, 1), nn.Conv2d(4, c, 1)
        self.activation, self.gate = activation, gate

    def forward(self, x: Tensor) -> Tensor:
        gate: Tensor = self.gate(self.fc2(self.activation(self.fc1(self.pool(x)))))
        return x * gate


class MBConv(nn.Module):
    def __init__(self, c_in: int, c: int, k: int, stride: int, activation: type[nn.Module]) -> None:
        super().__init__()
        inner = 3 * c_in
        self.expand = nn.Sequential(conv_bn(c_in, inner, 1, act=False), activation())
        self.depthwise = nn.Sequential(
            conv_bn(inner, inner, k, act=False, stride=stride, groups=inner), activation()
        )
        gate = nn.Sigmoid() if activation is nn.SiLU else nn.Hardsigmoid()
        self.se = SqueezeExcite(inner, activation(), gate)
        self.project = conv_bn(inner, c, 1, act=False)
        self.shortcut = stride == 1 and c_in == c

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(self.se(self.depthwise(self.expand(x))))
        return y + x if self.shortcut else y


class SmoothNet(nn.Sequential):
    """An EfficientNet (SiLU, sigmoid gates) or a MobileNetV3 (h-swish, hard sigmoid gates)."""

    def __init__(self, activation: type[nn.Module]) -> None:
        super().__init__(
            *(conv_bn(3, 8, 3, act=False, stride=2), activation()),
            *(MBConv(8, 8, 3, 1, activation), MBConv(8, 10, 5, 2, activation)),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        )


class Dilated(nn.Module):
    """Paddings, groups, dilation, a stride that leaves a rest, upsampling, and ReLU6."""

    def __init__(self) -> None:
        super().__init__()
        self.same = nn.Conv2d(3, 6, 3, padding="same", dilation=2, bias=False)
        self.bn = nn.BatchNorm2d(6)
        self.wide = nn.Conv2d(6, 6, (1, 5), padding="same")
        self.valid = nn.Conv2d(6, 6, (3, 1), padding="valid", groups=2)
        self.mirrored = nn.Conv2d(6, 6, 3, padding=1, padding_mode="reflect")
        self.strided = nn.Conv2d(6, 5, (3, 5), (3, 2), (0, 2), dilation=(1, 2))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu6(self.bn(self.same(x)))
        x = F.hardtanh(self.valid(self.wide(x)), 0.0, 6.0)
        x = self.strided(nn.functional.relu6(self.mirrored(x)))
        return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


class Shared(nn.Module):
    """Functional style; layers called twice; sums and ReLUs in place; dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.stem_bn = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.conv, self.bn = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.tied = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.tied.weight = self.conv.weight
        self.tied_bn = nn.BatchNorm2d(8)
        self.down = nn.Conv2d(8, 8, 1)
        self.shift = nn.Parameter(torch.randn(8, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.stem_bn(self.stem(x))), 3, 2, padding=1)
        identity = x
        out = self.relu(self.bn(self.conv(x)))
        out = self.bn(self.conv(out))
        out += identity
        x = F.dropout(self.relu(out), 0.2, self.training)
        shortcut = self.down(x)
        x = self.tied_bn(self.tied(x)).add_(shortcut).relu()
        x = F.avg_pool2d(self.conv(input=x) + self.shift, 3, stride=2, padding=1)
        x = F.adaptive_avg_pool2d(torch.relu(x + x), 3)
        return F.dropout2d(x, 0.1, self.training).flatten(1)


class Broadcast(nn.Module):
    """Sums whose parts differ in shape."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.shift = nn.Parameter(torch.randn(8, 1, 1))
        self.gather = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv_bn(8, 8, 1, act=False))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x) + self.shift)
        return F.relu6(x + self.gather(x))


def seeded(build: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    """Let `build` give the same random network each time, with batch norms that do something."""

    def build_seeded() -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return randomised(build())

    return build_seeded


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "vgg": seeded(Vgg),
    "shufflenet": seeded(ShuffleNet),
    "densenet": seeded(DenseNet),
    "efficientnet": seeded(lambda: SmoothNet(nn.SiLU)),
    "mobilenet_v3": seeded(lambda: SmoothNet(nn.Hardswish)),
    "dilated": seeded(Dilated),
    "shared": seeded(Shared),
    "broadcast": seeded(Broadcast),
    "resnet18": seeded(lambda: load_backbone("resnet18", "random", plain=True)),
    "efficientnet_lite0": seeded(lambda: load_backbone("efficientnet_lite0", "random", plain=True)),
}
SMALL = tuple(name for name in NETWORKS if name not in BACKBONES)
