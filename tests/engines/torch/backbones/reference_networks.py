"""Plain networks whose modules are named as in torchvision and timm, to compare ours with.

Their outputs are the features before the classifier.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# (repeats, kernel, stride, expansion, channels)
Stages = tuple[tuple[int, int, int, int, int], ...]

LITE0_STAGES: Stages = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
MOBILENET_STAGES: Stages = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (3, 3, 2, 6, 32),
    (4, 3, 2, 6, 64),
    (3, 3, 1, 6, 96),
    (3, 3, 2, 6, 160),
    (1, 3, 1, 6, 320),
)


def randomised(network: nn.Module) -> nn.Module:
    """Give every batch norm its own scale, shift and statistics, and stop training."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
            nn.init.normal_(module.running_mean, std=0.3)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return network.eval().requires_grad_(False)


class TorchvisionResNetBlock(nn.Module):
    """A basic block (two 3x3) or a bottleneck (1x1, 3x3, 1x1)."""

    def __init__(self, c_in: int, c: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        c_out = 4 * c if bottleneck else c
        if bottleneck:
            self.conv1 = nn.Conv2d(c_in, c, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(c)
            self.conv2 = nn.Conv2d(c, c, 3, stride, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(c)
            self.conv3: nn.Module = nn.Conv2d(c, c_out, 1, bias=False)
            self.bn3: nn.Module = nn.BatchNorm2d(c_out)
        else:
            self.conv1 = nn.Conv2d(c_in, c, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(c)
            self.conv2 = nn.Conv2d(c, c, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(c)
            self.conv3 = self.bn3 = nn.Identity()
        self.bottleneck = bottleneck
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or c_in != c_out:
            conv = nn.Conv2d(c_in, c_out, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(c_out))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.bottleneck:
            y = self.bn3(self.conv3(F.relu(y)))
        return F.relu(y + self.downsample(x))


class TorchvisionResNet(nn.Module):
    """conv1, bn1, layer1 to layer4, fc."""

    def __init__(self, repeats: tuple[int, ...], bottleneck: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        c_in = 64
        for stage, n in enumerate(repeats):
            c = 64 * 2**stage
            blocks = []
            for i in range(n):
                stride = 2 if i == 0 and stage > 0 else 1
                blocks.append(TorchvisionResNetBlock(c_in, c, stride, bottleneck))
                c_in = 4 * c if bottleneck else c
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(c_in, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for stage in (1, 2, 3, 4):
            x = self.get_submodule(f"layer{stage}")(x)
        return F.adaptive_avg_pool2d(x, 1).flatten(1)


class TimmBlock(nn.Module):
    """conv_dw, conv_pw without expansion; conv_pw, conv_dw, conv_pwl with it."""

    def __init__(
        self, c_in: int, c_out: int, k: int, stride: int, expansion: int, same: bool, eps: float
    ) -> None:
        super().__init__()
        c = c_in * expansion
        depthwise = _timm_conv(c, c, k, stride, same, groups=c)
        project = nn.Conv2d(c, c_out, 1, bias=False)
        if expansion == 1:
            named = (("conv_dw", depthwise), ("conv_pw", project))
        else:
            expand = nn.Conv2d(c_in, c, 1, bias=False)
            named = (("conv_pw", expand), ("conv_dw", depthwise), ("conv_pwl", project))  # type: ignore[assignment]
        for position, (name, conv) in enumerate(named, start=1):
            self.add_module(name, conv)
            self.add_module(f"bn{position}", nn.BatchNorm2d(conv.out_channels, eps=eps))
        self.adds_input = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        y = x
        layers = list(self.children())
        for conv, bn in zip(layers[0::2], layers[1::2], strict=True):
            y = bn(conv(y))
            if bn is not layers[-1]:
                y = F.relu6(y)
        return x + y if self.adds_input else y


class PaddedBelow(nn.Conv2d):
    """TensorFlow's padding for stride 2 and an even side: one more zero below and right."""

    def forward(self, x: Tensor) -> Tensor:
        before = (self.kernel_size[0] - 2) // 2
        return super().forward(F.pad(x, (before, before + 1, before, before + 1)))


def _timm_conv(c_in: int, c: int, k: int, stride: int, same: bool, groups: int = 1) -> nn.Conv2d:
    if same and stride == 2:
        return PaddedBelow(c_in, c, k, stride, groups=groups, bias=False)
    return nn.Conv2d(c_in, c, k, stride, k // 2, groups=groups, bias=False)


class TimmNetwork(nn.Module):
    """conv_stem, bn1, blocks.STAGE.BLOCK, conv_head, bn2, classifier.

    With `same`, every map that is halved must have an even side, as with 64 px.
    """

    def __init__(self, stages: Stages, same: bool, eps: float) -> None:
        super().__init__()
        self.conv_stem = _timm_conv(3, 32, 3, 2, same)
        self.bn1 = nn.BatchNorm2d(32, eps=eps)
        blocks: list[nn.Module] = []
        c_in = 32
        for n, k, stride, expansion, c in stages:
            stage = nn.Sequential()
            for i in range(n):
                stage.append(TimmBlock(c_in, c, k, stride if i == 0 else 1, expansion, same, eps))
                c_in = c
            blocks.append(stage)
        self.blocks = nn.Sequential(*blocks)
        self.conv_head = nn.Conv2d(c_in, 1280, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(1280, eps=eps)
        self.classifier = nn.Linear(1280, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(F.relu6(self.bn1(self.conv_stem(x))))
        x = F.relu6(self.bn2(self.conv_head(x)))
        return F.adaptive_avg_pool2d(x, 1).flatten(1)


def sorted_state(network: nn.Module) -> dict[str, Tensor]:
    """The state in alphabetical order, as a safetensors file gives it back."""
    return dict(sorted(network.state_dict().items()))


def images(n: int = 2, px: int = 64) -> Tensor:
    """Draw noise from a generator of its own."""
    return torch.randn(n, 3, px, px, generator=torch.Generator().manual_seed(7))
