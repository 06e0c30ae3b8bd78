"""Things many tests need: a tiny backbone and folders of easy images."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from addapt.backbones import BackboneInfo, BlockInfo, InputInfo
from addapt.engines.torch.backbones import Backbone, weights_sha256

MakeFolder = Callable[..., Path]

# Two threads on a busy machine are slower than one, and tests are small.
torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep answers of trials out of the user's cache folder, and the user's out of tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADDAPT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _same_beginning() -> None:
    """Undo what an earlier test has set."""
    # With more threads a copy of this process would hang at its first operation.
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have PyTorch be found nowhere; what has imported it already goes on."""
    monkeypatch.setitem(sys.modules, "torch", None)


class TinyBlock(nn.Module):
    """A residual block with one batch norm whose statistics are not trivial."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.bn = nn.BatchNorm2d(c_out)
        nn.init.uniform_(self.bn.weight, 0.5, 1.5)
        nn.init.uniform_(self.bn.bias, -0.5, 0.5)
        self.bn.running_mean = torch.rand(c_out) - 0.5
        self.bn.running_var = torch.rand(c_out) + 0.5
        self.identity = stride == 1 and c_in == c_out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.bn(self.conv(x)))
        return y + x if self.identity else y


def build_tiny_backbone(name: str = "tiny", seed: int = 0) -> Backbone:
    """Build a backbone of three blocks and 12 features that runs in no time."""
    blocks = (BlockInfo(4, 8, 2, False), BlockInfo(8, 8, 1, True), BlockInfo(8, 12, 2, False))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        backbone = Backbone(
            nn.Conv2d(3, 4, 3, 2, 1),
            [TinyBlock(b.in_channels, b.out_channels, b.stride) for b in blocks],
            nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            BackboneInfo(
                name=name,
                input=InputInfo(96, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bicubic"),
                features=12,
                blocks=blocks,
            ),
        )
    backbone.info = replace(backbone.info, weights_sha256=weights_sha256(backbone))
    return backbone


@pytest.fixture
def tiny_backbone() -> Backbone:
    return build_tiny_backbone()


def write_images(folder: Path, classes: Sequence[str], images: int, px: int, seed: int) -> None:
    """Write class folders of noisy images, each class with a colour of its own."""
    rng = np.random.default_rng(seed)
    for k, label in enumerate(classes):
        (folder / label).mkdir(parents=True)
        for i in range(images):
            pixels = rng.integers(0, 90, (px, px, 3))
            pixels[..., k % 3] += 150
            Image.fromarray(pixels.astype(np.uint8)).save(folder / label / f"{i}.png")


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """Return a function that writes class folders of noisy one-coloured images."""

    def make(
        name: str = "colours",
        classes: tuple[str, ...] = ("blue", "green", "red"),
        images: int = 8,
        px: int = 40,
        seed: int = 0,
    ) -> Path:
        write_images(tmp_path / name, classes, images, px, seed)
        return tmp_path / name

    return make
