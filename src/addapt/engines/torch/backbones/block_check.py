"""Whether the blocks of a backbone are what its description says; asked by one small pass."""

import math
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from addapt._errors import OptionError
from addapt.backbones import BackboneInfo, BlockInfo
from addapt.engines.torch.freezing import FrozenConv2d


@torch.no_grad()
def check_description(
    stem: nn.Module, blocks: Sequence[nn.Module], tail: nn.Module, info: BackboneInfo
) -> None:
    """Run one black image of the backbone's own size and compare what comes out of each block.

    That a block adds its input to its output as it is cannot be seen, only that it may.

    Raises:
        OptionError: the parts do not fit together, or are not what `info` describes.
    """
    if len(blocks) != len(info.blocks):
        raise OptionError(
            f"{info.name} has {len(blocks)} blocks, but its description has {len(info.blocks)}: "
            "give a BlockInfo for each."
        )
    like = next(nn.ModuleList((stem, *blocks, tail)).parameters(), torch.empty(0))
    x = _run(stem, like.new_zeros(1, 3, info.input.px, info.input.px), f"The stem of {info.name}")
    for place, (block, described) in enumerate(zip(blocks, info.blocks, strict=True)):
        what = f"Block {place} of {info.name}"
        _compare(what, "takes channels", x.shape[1], "in_channels", described.in_channels)
        y, called = _run_noting(block, x, what, described.inner_layers)
        _compare(what, "gives channels", y.shape[1], "out_channels", described.out_channels)
        expected = tuple(math.ceil(side / described.stride) for side in x.shape[2:])
        if tuple(y.shape[2:]) != expected:
            raise OptionError(
                f"{what} makes a map of {_sides(y)} of one of {_sides(x)}, but its BlockInfo says "
                f"`stride={described.stride}`, which makes {expected[0]} x {expected[1]}: give the "
                "stride that the block has, and padding of half a kernel."
            )
        if described.identity_shortcut and x.shape != y.shape:
            raise OptionError(
                f"{what} changes the shape of its input, so that it cannot be added to the output "
                "as it is: give `identity_shortcut=False` in its BlockInfo."
            )
        _check_inner_layers(what, block, described, called)
        x = y
    what = f"The tail of {info.name}"
    features = _run(tail, x, what, dimensions=2)
    _compare(what, "gives features", features.shape[1], "features", info.features)


def _run(part: nn.Module, x: Tensor, what: str, dimensions: int = 4) -> Float[Tensor, "1 c ..."]:
    try:
        y = part(x)
    except (RuntimeError, ValueError, TypeError) as error:
        reason = str(error).split("\n", 1)[0].rstrip(".")
        raise OptionError(
            f"{what} cannot take an input of {tuple(x.shape)}: {reason}. Give parts that follow "
            "on each other, and the side in pixels of an image that they are made for."
        ) from error
    if not isinstance(y, Tensor) or y.dim() != dimensions:
        given = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
        raise OptionError(
            f"{what} gives {given} of one image: give a part that returns a tensor of "
            f"{dimensions} dimensions, images first, channels or features second."
        )
    return y


def _run_noting(
    block: nn.Module, x: Tensor, what: str, names: Sequence[str]
) -> tuple[Float[Tensor, "1 c h w"], list[str]]:
    """Run a block; return its output, and which of the layers `names` were called, in order."""
    called: list[str] = []

    def note(name: str, *_: object) -> None:
        called.append(name)

    with ExitStack() as hooks:
        for name, layer in block.named_modules():
            if name in names:
                hooks.callback(layer.register_forward_pre_hook(partial(note, name)).remove)
        return _run(block, x, what), called


def _compare(what: str, does: str, found: int, name: str, described: int) -> None:
    if found != described:
        verb, noun = does.split()
        raise OptionError(
            f"{what} {verb} {found} {noun}, but its description says `{name}={described}`: give "
            f"`{name}={found}`."
        )


def _check_inner_layers(
    what: str, block: nn.Module, described: BlockInfo, called: Sequence[str]
) -> None:
    layers = dict(block.named_modules())
    for name in described.inner_layers:
        if not isinstance(layers.get(name), nn.Conv2d | FrozenConv2d):
            raise OptionError(
                f"{what} has no convolution {name!r}, which its BlockInfo names in "
                "`inner_layers`: give the names of its convolutions, as named_modules() has them."
            )
    if tuple(called) != described.inner_layers:
        raise OptionError(
            f"{what} calls its `inner_layers` in the order {', '.join(called) or 'none'}, but its "
            f"BlockInfo has {', '.join(described.inner_layers)}: give them in order, each once."
        )
    for name, following in zip(described.inner_layers, described.inner_layers[1:], strict=False):
        out, taken = _channels(layers[name])[1], _channels(layers[following])[0]
        if out != taken:
            raise OptionError(
                f"{what}: {name!r} gives {out} channels and {following!r} takes {taken}, so that "
                "the one does not follow on the other: name only such as do in `inner_layers`."
            )


def _channels(conv: nn.Module) -> tuple[int, int]:
    assert isinstance(conv, nn.Conv2d | FrozenConv2d)
    out = conv.channels if isinstance(conv, FrozenConv2d) else conv.out_channels
    return conv.in_channels, out


def _sides(x: Tensor) -> str:
    return f"{x.shape[2]} x {x.shape[3]}"
