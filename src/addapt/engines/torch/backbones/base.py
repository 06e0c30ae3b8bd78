"""What a backbone is: stem, blocks, tail, and an `info` that describes them."""

import copy
import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from addapt._errors import OptionError
from addapt.engines.torch.freezing import FrozenConv2d, freeze

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class InputInfo:
    """How an image becomes the backbone's input.

    `px` is the native side of the square input; `mean` and `std` are for pixel
    values in 0..1; `interpolation` is "bicubic" or "bilinear".
    """

    px: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str


@dataclass(frozen=True)
class BlockInfo:
    """One block: channels, stride, and whether its input is added to its output as it is.

    `inner_layers` names its convolutions in order if nobody but the next one sees the channels
    between two of them, so that some may be left out; empty if that cannot be.
    """

    in_channels: int
    out_channels: int
    stride: int
    identity_shortcut: bool
    inner_layers: tuple[str, ...] = ()


@dataclass(frozen=True)
class BackboneInfo:
    """What a backbone is, for whoever adapts it.

    `weights_sha256` identifies the weights by content, not by file: the same
    network read from two formats is the same backbone. `weights` says in words
    where they came from.
    """

    name: str
    input: InputInfo
    features: int
    blocks: tuple[BlockInfo, ...]
    weights: str = "random"
    weights_sha256: str = ""


class Backbone(nn.Module):
    """A frozen feature network, shared by all domains: images in, features out.

    `stem`, then each of `blocks`, then `tail`, which pools. It is either lean, made of frozen
    operations (what `load_backbone` gives), or plain, with batch norms apart from convolutions.
    Parameters never ask for gradients and batch norms stay in evaluation mode, whatever mode
    the module around it is put in.
    """

    def __init__(
        self, stem: nn.Module, blocks: Iterable[nn.Module], tail: nn.Module, info: BackboneInfo
    ) -> None:
        super().__init__()
        self.stem = stem
        self.blocks = nn.ModuleList(blocks)
        self.tail = tail
        self.info = info
        self.load_plain: Callable[[], Backbone] | None = None
        if len(self.blocks) != len(info.blocks):
            raise ValueError(f"{len(self.blocks)} blocks, but info describes {len(info.blocks)}")
        self.requires_grad_(False)
        self.eval()

    @property
    def is_lean(self) -> bool:
        """Whether it is made of frozen operations, its batch norms folded into convolutions."""
        return any(isinstance(layer, FrozenConv2d) for layer in self.modules())

    def named_parts(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield stem, blocks and tail, in the order of computing, with their names in here."""
        yield "stem", self.stem
        for i, block in enumerate(self.blocks):
            yield f"blocks.{i}", block
        yield "tail", self.tail

    def train(self, mode: bool = True) -> "Backbone":
        """Stay in evaluation mode: a frozen network has frozen statistics."""
        return super().train(False)

    def plain_copy(self) -> "Backbone":
        """Return the same network with batch norms apart from convolutions, as training them needs.

        A copy of this one, or, as a lean one cannot be taken apart, the same weights loaded again.

        Raises:
            OptionError: this one is lean and was not made by `load_backbone`.
            WeightsError: the weights are no longer to be had.
        """
        if self.is_lean:
            if self.load_plain is None:
                raise OptionError(
                    f"The backbone {self.info.name} has its batch norms folded into its "
                    "convolutions, and what is asked for trains them. Make the model of the "
                    "backbone as it was before lean()."
                )
            return self.load_plain()
        return copy.deepcopy(self)

    def lean(self, *, consume: bool = False) -> "Backbone":
        """Return the same network made of operations that keep almost nothing for backward.

        Args:
            consume: use this one's memory for it, which makes this one unusable; by default
                this one stays as it is, and the lean one has weights of its own.

        Raises:
            FreezeError: a weight is not a number.
        """
        stem, *blocks, tail = (freeze(part, consume=consume) for _, part in self.named_parts())
        lean = Backbone(stem, blocks, tail, self.info)
        lean.load_plain = self.load_plain
        return lean

    def forward(self, x: Tensor) -> Tensor:
        """Map images (n, 3, h, w) to features (n, features)."""
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        features: Tensor = self.tail(x)
        return features


def weights_sha256(module: nn.Module) -> str:
    """Hash names, shapes, types and bytes of all tensors of `module`, in hexadecimal.

    Batch counters are left out: they differ between formats and change nothing.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        if name.endswith("num_batches_tracked"):
            continue
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        values = tensor.detach().cpu().contiguous().flatten()
        digest.update(values.view(torch.uint8).numpy().data)
    return digest.hexdigest()
