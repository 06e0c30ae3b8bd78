"""What a backbone is: stem, blocks, tail, and an `info` that describes them."""

import copy
import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from addapt._errors import OptionError
from addapt.backbones import BackboneInfo
from addapt.engines.torch.backbones.block_check import check_description
from addapt.engines.torch.freezing import FrozenConv2d, freeze


class Backbone(nn.Module):
    """A frozen feature network, shared by all domains: images in, features out.

    `stem`, then each of `blocks`, then `tail`, which pools. It is either lean, made of frozen
    operations (what `load_backbone` gives), or plain, with batch norms apart from convolutions.
    Parameters never ask for gradients and batch norms stay in evaluation mode, whatever mode
    the module around it is put in.

    Args:
        stem: from images to the first block's input.
        blocks: one after the other.
        tail: from the last block's output to features.
        info: what these are.
        check: run one small image to see that they are; needless for those that are known.

    Raises:
        OptionError: the parts do not fit together, or are not what `info` describes.
    """

    def __init__(
        self,
        stem: nn.Module,
        blocks: Iterable[nn.Module],
        tail: nn.Module,
        info: BackboneInfo,
        *,
        check: bool = True,
    ) -> None:
        super().__init__()
        self.stem = stem
        self.blocks = nn.ModuleList(blocks)
        self.tail = tail
        self.info = info
        self.load_plain: Callable[[], Backbone] | None = None
        self.requires_grad_(False)
        self.eval()
        if check:
            check_description(self.stem, list(self.blocks), self.tail, info)

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
        info = self.info
        if not info.weights_sha256 and not any(tensor.is_meta for tensor in self.parameters()):
            info = replace(info, weights_sha256=weights_sha256(self))  # that of the plain network
        stem, *blocks, tail = (freeze(part, consume=consume) for _, part in self.named_parts())
        lean = Backbone(stem, blocks, tail, info, check=False)
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
