"""What a backbone is, for whoever adapts it: its input, its blocks, its weights."""

from dataclasses import dataclass


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

    `weights_sha256` identifies the weights by content: the same network read from two file formats
    is the same backbone. `weights` says in words where they came from.
    """

    name: str
    input: InputInfo
    features: int
    blocks: tuple[BlockInfo, ...]
    weights: str = "random"
    weights_sha256: str = ""
