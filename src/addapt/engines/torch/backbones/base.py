"""What a backbone is: stem, blocks, tail, and an `info` that describes them."""

import copy
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from addapt._errors import OptionError
from addapt.backbones import BackboneInfo, InputInfo
from addapt.backbones.catalogue import IMAGENET_INPUT
from addapt.engines.torch.backbones.block_check import check_description
from addapt.engines.torch.backbones.cutting import cut
from addapt.engines.torch.freezing import FrozenConv2d, freeze, record
from addapt.engines.torch.freezing.replace import Codes
from addapt.engines.torch.freezing.sized import only_for


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
        self.paths: tuple[str, ...] = ()
        self.only_px: int | None = None  # the side of image that it takes, where it takes no other
        self.load_plain: Callable[[], Backbone] | None = None
        self.requires_grad_(False)
        self.eval()
        if check:
            check_description(self.stem, list(self.blocks), self.tail, info)

    @classmethod
    def of(
        cls,
        network: nn.Module,
        example: Float[Tensor, "1 3 px px"] | None = None,
        *,
        blocks: str | Sequence[str] | None = None,
        name: str | None = None,
        input: InputInfo | None = None,
        codes: Codes | None = None,
        plain: bool = False,
    ) -> "Backbone":
        """Make a backbone of any convolutional network: its blocks are found, and it is made lean.

        A block is a module with a sum inside (or a concatenation, or a product) whose one input and
        one output are maps, and what looks like it; what comes before is the stem, and what comes
        after the tail, but for a linear layer at the end, the classifier. `explain` shows them.

        Args:
            network: in evaluation mode; stays as it is, and shares no tensor that is changed.
            example: an image of the size to be used, any values; by default of the side that the
                network's `pretrained_cfg` names, as timm's do, or 224 px.
            blocks: paths of the modules that are to be the blocks.
            name: what domains know it by; by default the network's class.
            input: how images are to be prepared; by default as `pretrained_cfg` says, or as most
                networks of ImageNet.
            codes: see `freeze`.
            plain: leave batch norms apart from convolutions, which fine-tuning needs.

        Raises:
            FreezeError: the network cannot be recorded.
            OptionError: it cannot be cut into blocks.
        """
        if any(isinstance(layer, FrozenConv2d) for layer in network.modules()):
            raise OptionError(
                "This network is frozen already: give Backbone.of the one that it was made of."
            )
        name = name or type(network).__name__
        input = input or _input_of(network)
        if example is None:
            like = next(network.parameters(), torch.empty(0))
            example = like.detach().new_zeros(1, 3, input.px, input.px)
        shape = tuple(example.shape)
        if len(shape) != 4 or shape[1] != 3 or shape[2] != shape[3] or not shape[0]:
            raise OptionError(
                f"The `example` has the shape {shape}: give an image of three colours, a square, "
                "such as torch.zeros(1, 3, 224, 224)."
            )
        if isinstance(blocks, str):
            blocks = [blocks]
        input = replace(input, px=shape[-1])
        recorded = record(network, example)
        parts = cut(recorded, example, name, blocks)
        info = BackboneInfo(name, input, parts.features, parts.infos, weights="your own")
        backbone = cls(parts.stem, parts.blocks, parts.tail, info)
        backbone.paths = parts.paths
        if any(node.target is only_for for node in recorded.graph.nodes):
            backbone.only_px = input.px
        return backbone if plain else backbone.lean(codes=codes)

    def explain(self) -> str:
        """Say what the blocks are, one a line: module, channels, stride, shortcut, inner layers."""
        size = self.info.input.px
        rows = [("block", "module", "channels", "stride", "shortcut", "inner layers")]
        paths = self.paths or tuple(f"blocks.{i}" for i in range(len(self.blocks)))
        for i, (path, block) in enumerate(zip(paths, self.info.blocks, strict=True)):
            channels = f"{block.in_channels} > {block.out_channels}"
            shortcut = "as it is" if block.identity_shortcut else "-"
            inner = ", ".join(block.inner_layers) or "-"
            rows.append((str(i), path, channels, str(block.stride), shortcut, inner))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        only = " only" if self.only_px else ""
        of = f"{self.info.name}: images of {size} x {size}{only}, {self.info.features} features"
        return "\n".join((of, *lines))

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
                    "backbone as it was before lean(), or of Backbone.of(..., plain=True)."
                )
            return self.load_plain()
        return copy.deepcopy(self)

    def lean(self, *, consume: bool = False, codes: Codes | None = None) -> "Backbone":
        """Return the same network made of operations that keep almost nothing for backward.

        Args:
            consume: use this one's memory for it, which makes this one unusable; by default
                this one stays as it is, and the lean one has weights of its own.
            codes: see `freeze`.

        Raises:
            FreezeError: a weight is not a number.
        """
        info = self.info
        if not info.weights_sha256 and not any(tensor.is_meta for tensor in self.parameters()):
            info = replace(info, weights_sha256=weights_sha256(self))  # that of the plain network
        stem, *blocks, tail = (
            freeze(part, consume=consume, codes=codes) for _, part in self.named_parts()
        )
        lean = Backbone(stem, blocks, tail, info, check=False)
        lean.load_plain, lean.paths, lean.only_px = self.load_plain, self.paths, self.only_px
        return lean

    def forward(self, x: Tensor) -> Tensor:
        """Map images (n, 3, h, w) to features (n, features)."""
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        features: Tensor = self.tail(x)
        return features


def _input_of(network: nn.Module) -> InputInfo:
    """Return how images are prepared for a network of timm, which says so; else as for most."""
    config = getattr(network, "pretrained_cfg", None)
    if not isinstance(config, dict) or "input_size" not in config:
        return IMAGENET_INPUT
    return InputInfo(
        px=int(config["input_size"][-1]),
        mean=tuple(config.get("mean", IMAGENET_INPUT.mean)),
        std=tuple(config.get("std", IMAGENET_INPUT.std)),
        interpolation="bicubic" if config.get("interpolation") == "bicubic" else "bilinear",
    )


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
