"""The one table of operations: each stands beside its plain-torch reference and its cost.

To add an operation, add a function that returns its cases and a line in CASES.
test_ops.py asserts the same things of every case.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from addapt.engines.torch.ops import (
    activation,
    affine,
    conv,
    gated,
    grid,
    masked_conv,
    pad,
    pool,
    two_slopes,
)
from addapt.engines.torch.ops.bits import bits_bytes

Shapes = Sequence[tuple[int, ...]]
Layout = Literal["contiguous", "channels_last", "sliced"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)

NON_FINITE = (math.inf, -math.inf, math.nan)
# Where a map has NaN, torch's own backward of ReLU6 and its like passes the gradient or not,
# depending on whether the element falls into a full vector register.
INFINITIES = (math.inf, -math.inf)
# All curves go the same way; test_activation.py looks at each.
SMOOTH: tuple[activation.Smooth, ...] = ("gelu_tanh", "hardswish", "selu", "sigmoid")


@dataclass(frozen=True)
class OpCase:
    """An operation with one choice of options.

    Args:
        name: what the test is called.
        op: takes the inputs, returns one tensor.
        reference: its twin in plain torch.
        shapes: from batch, height and width to the shapes of the inputs, the map first.
        kept_bytes: from the number of output elements to the bytes kept for backward,
            for inputs of 4 bytes an element.
        frozen: positions of the inputs that are weights: they ask for no gradient, and keeping
            them costs nothing.
        derivative_error: how far a derivative may be from the reference's.
        straight_through: positions of the inputs whose gradient is not that of the function.
        spoilers: the values that are no numbers for which the reference says what should be.
        smallest: the least height and width that make sense.
        meta_strides: whether torch lays out the result on the meta device as on the CPU.
    """

    name: str
    op: Callable[..., Tensor]
    reference: Callable[..., Tensor]
    shapes: Callable[[int, int, int], Shapes]
    kept_bytes: Callable[[int], int]
    frozen: frozenset[int] = field(default_factory=frozenset)
    derivative_error: float = 0.0
    straight_through: frozenset[int] = field(default_factory=frozenset)
    spoilers: tuple[float, ...] = NON_FINITE
    smallest: int = 1
    meta_strides: bool = True

    def inputs(
        self,
        n: int = 2,
        h: int = 7,
        w: int = 5,
        dtype: torch.dtype = torch.float32,
        layout: Layout = "contiguous",
        integers: bool = False,
    ) -> list[Tensor]:
        """Make random inputs, always the same; whole numbers give ties and kinks."""
        generator = torch.Generator().manual_seed(n * 10_000 + h * 100 + w)
        inputs = []
        for position, shape in enumerate(
            self.shapes(n, max(h, self.smallest), max(w, self.smallest))
        ):
            x = torch.randn(shape, generator=generator, dtype=torch.float64) * 3
            x = (x.round() if integers else x).to(dtype)
            if position not in self.frozen:
                x = laid_out(x, layout).requires_grad_()
            inputs.append(x)
        return inputs


def laid_out(x: Tensor, layout: Layout) -> Tensor:
    """Copy a map (n, c, h, w) into a memory layout; leave other tensors as they are."""
    if x.dim() != 4 or layout == "contiguous":
        return x
    if layout == "channels_last":
        return x.contiguous(memory_format=torch.channels_last)
    return torch.stack([x, -x], dim=-1)[..., 0]


def one_map(n: int, h: int, w: int) -> Shapes:
    return [(n, 6, h, w)]


def nothing(count: int) -> int:
    return 0


def bits_of(name: activation.Activation) -> Callable[[int], int]:
    return nothing if name == "none" else bits_bytes


def activation_cases() -> list[OpCase]:
    a = activation
    return [
        OpCase("relu", a.relu, F.relu, one_map, bits_of("relu")),
        OpCase("relu6", a.relu6, F.relu6, one_map, bits_of("relu6"), spoilers=INFINITIES),
        *(
            OpCase(
                f"smooth_8bit-{name}",
                partial(a.smooth_8bit, name=name),
                partial(a.smooth, name=name),
                one_map,
                lambda count: count,
                derivative_error=a.smooth_8bit_error(name),
                spoilers=INFINITIES if name in ("hardswish", "selu") else NON_FINITE,
            )
            for name in SMOOTH
        ),
    ]


def two_slopes_cases() -> list[OpCase]:
    def by_channel(channels: int) -> Callable[[int, int, int], Shapes]:
        return lambda n, h, w: [(n, 6, h, w), (channels,)]

    one_a_map: list[tuple[str, Any, Any, tuple[float, ...]]] = [
        ("leaky_relu", two_slopes.leaky_relu, F.leaky_relu, NON_FINITE),
        (
            "leaky_relu-falling",
            partial(two_slopes.leaky_relu, slope=-0.5),
            partial(F.leaky_relu, negative_slope=-0.5),
            NON_FINITE,
        ),
        (
            "hardtanh",
            partial(two_slopes.hardtanh, low=-2.0, high=3.0),
            partial(F.hardtanh, min_val=-2.0, max_val=3.0),
            INFINITIES,
        ),
        ("hardsigmoid", two_slopes.hardsigmoid, F.hardsigmoid, NON_FINITE),
    ]
    return [
        *(
            OpCase(name, op, reference, one_map, bits_bytes, spoilers=spoilers)
            for name, op, reference, spoilers in one_a_map
        ),
        *(
            OpCase(
                f"prelu-{channels}",
                two_slopes.prelu,
                F.prelu,
                by_channel(channels),
                bits_bytes,
                frozen=frozenset({1}),
            )
            for channels in (1, 6)
        ),
    ]


def pad_cases() -> list[OpCase]:
    sides = (1, 2, 0, 2)
    kinds: tuple[pad.Edges, ...] = ("reflect", "replicate")
    return [
        OpCase(
            f"pad_edges-{edges}",
            partial(pad.pad_edges, sides=sides, edges=edges),
            partial(F.pad, pad=sides, mode=edges),
            one_map,
            nothing,
            smallest=3,
            meta_strides=False,
        )
        for edges in kinds
    ]


def gated_case() -> OpCase:
    def run(u: Tensor, gate: Tensor) -> Tensor:
        u, gate = u * 1, gate * 1  # only dense ones are easily weighed
        x = activation.smooth(u, "silu")
        return gated.gated(x, gate, (u, "silu"))

    return OpCase(
        "gated-silu",
        run,
        lambda u, gate: gated.gated_reference(activation.smooth(u, "silu"), gate),
        lambda n, h, w: [(n, 6, h, w), (1, 6, 1, 1)],
        lambda count: 4 * (count + 6),
        smallest=2,  # else both factors may have the same shape
    )


def max_pool_case(name: str, kernel: pool.Pair, *options: Any, smallest: int = 1) -> OpCase:
    return OpCase(
        f"max_pool2d-{name}",
        lambda x: pool.max_pool2d(x, kernel, *options),
        lambda x: F.max_pool2d(x, kernel, *options),
        one_map,
        lambda count: 4 * count if name == "289_places" else count,
        smallest=smallest,
    )


def avg_pool_case(name: str, kernel: pool.Pair, *options: Any) -> OpCase:
    return OpCase(
        f"avg_pool2d-{name}",
        lambda x: pool.avg_pool2d(x, kernel, *options),
        lambda x: F.avg_pool2d(x, kernel, *options),
        one_map,
        nothing,
    )


def adaptive_case(name: str, size: int | tuple[int | None, int | None]) -> OpCase:
    return OpCase(
        f"adaptive_avg_pool2d-{name}",
        lambda x: pool.adaptive_avg_pool2d(x, size),
        lambda x: F.adaptive_avg_pool2d(x, size),
        one_map,
        nothing,
    )


def pool_cases() -> list[OpCase]:
    return [
        max_pool_case("resnet", 3, 2, 1),
        max_pool_case("ceil", 3, 2, 1, 1, True),
        max_pool_case("dilated_oblong", (3, 2), (1, 2), (1, 0), (1, 3), smallest=4),
        max_pool_case("oblong", (2, 5), (2, 3), (1, 2)),
        max_pool_case("256_places", 16, 4, 8),
        max_pool_case("289_places", 17, 3, 8),
        avg_pool_case("overlapping", 3, 2, 1),
        avg_pool_case("ceil_no_padding", 2, None, 0, True),
        avg_pool_case("ceil_without_padding", (3, 2), (2, 2), (1, 1), True, False),
        avg_pool_case("sum", 3, 1, 1, False, True, 1),
        adaptive_case("global", 1),
        adaptive_case("same", (None, None)),
        adaptive_case("overlapping", (3, 2)),
        adaptive_case("larger", (9, 8)),
    ]


def grid_cases() -> list[OpCase]:
    def beside(
        function: Callable[..., tuple[Tensor, Tensor]], factor: int
    ) -> Callable[..., Tensor]:
        # Both results go on: multiplied, the one depends on how the other is laid out.
        def run(x: Tensor) -> Tensor:
            same, pooled = function(x, factor)
            return same + pooled.sum((2, 3), keepdim=True)

        return run

    def onto(factor: int) -> Callable[[int, int, int], Shapes]:
        return lambda n, h, w: [(n, 6, h, w), (n, 6, -(-h // factor), -(-w // factor))]

    factors = (1, 3, 20)
    return [
        *(
            OpCase(
                f"pool_beside-{factor}",
                beside(grid.pool_beside, factor),
                beside(grid.pool_beside_reference, factor),
                one_map,
                nothing,
                spoilers=(),  # means of infinities meet in one sum
            )
            for factor in factors
        ),
        *(
            OpCase(
                f"add_tiled-{factor}",
                partial(grid.add_tiled, factor=factor),
                partial(grid.add_tiled_reference, factor=factor),
                onto(factor),
                nothing,
            )
            for factor in factors
        ),
        OpCase(
            "add_tiled-in_place",
            lambda y, small: grid.add_tiled(y * 1, small, 2, in_place=True),
            partial(grid.add_tiled_reference, factor=2),
            onto(2),
            nothing,
        ),
    ]


def affine_case(name: activation.Activation, frozen: frozenset[int]) -> OpCase:
    return OpCase(
        f"channel_affine-{name}",
        partial(affine.channel_affine, activation=name),
        partial(affine.channel_affine_reference, activation=name),
        lambda n, h, w: [(n, 6, h, w), (6,), (6,)],
        bits_of(name),
        frozen=frozen,
        spoilers=INFINITIES if name == "relu6" else NON_FINITE,
    )


def affine_cases() -> list[OpCase]:
    return [
        affine_case("none", frozenset({1})),
        affine_case("relu", frozenset({1, 2})),
        affine_case("relu6", frozenset({1})),
    ]


def conv_case(
    name: str,
    kernel: tuple[int, int],
    geometry: conv.ConvGeometry,
    *,
    bias: bool = True,
    residual: bool = False,
    side: int | None = None,
    smallest: int = 1,
) -> OpCase:
    def shapes(n: int, h: int, w: int) -> Shapes:
        out = conv.output_size(torch.Size((h, w)), kernel, geometry)
        weight = (8, 4 // geometry.groups, *kernel)
        return [
            *((n, 4, h, w), weight),
            *([(8,)] if bias else []),
            *([(n, 8, *out)] if residual else []),
            *([(n, 8, *(-(-size // side) for size in out))] if side else []),
        ]

    def call(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def run(x: Tensor, weight: Tensor, *rest: Tensor) -> Tensor:
            others = list(rest)
            b = others.pop(0) if bias else None
            added = others.pop(0) if residual else None
            tiles = conv.Tiles(others.pop(0), side) if side else None
            # Small inputs keep sums within tolerances; a power of two keeps whole numbers exact.
            return function(x * 0.25, weight, b, added, geometry, tiles)

        return run

    return OpCase(
        f"frozen_conv2d-{name}",
        call(conv.frozen_conv2d),
        call(conv.frozen_conv2d_reference),
        shapes,
        bits_of(geometry.activation),
        frozen=frozenset({1}),
        # Infinities make NaN on the way, whose gradient torch's own ReLU6 passes or not by chance.
        spoilers=() if geometry.activation == "relu6" else NON_FINITE,
        smallest=smallest,
        meta_strides=False,
    )


def conv_cases() -> list[OpCase]:
    g = conv.ConvGeometry
    return [
        conv_case("1x1-relu", (1, 1), g(activation="relu")),
        conv_case("3x3-relu6-sum", (3, 3), g((1, 1), (1, 1), activation="relu6"), residual=True),
        conv_case("1x1-sum", (1, 1), g(), bias=False, residual=True),
        conv_case("1x1-stride", (1, 1), g((2, 2))),
        conv_case("3x3-depthwise-stride", (3, 3), g((2, 2), (1, 1), (1, 1), 4, "relu")),
        conv_case("3x3-dilation-groups", (3, 3), g((1, 1), (2, 2), (2, 2), 2, "relu")),
        conv_case(*("oblong", (2, 3), g((3, 2), (0, 1), (1, 2), activation="relu6")), smallest=3),
        conv_case("3x3-no-padding", (3, 3), g(), smallest=3),
        conv_case("1x1-relu6-tiles", (1, 1), g(activation="relu6"), side=1),
        conv_case(
            *("3x3-stride-relu-sum-tiles", (3, 3), g((2, 2), (1, 1), activation="relu")),
            residual=True,
            side=3,
        ),
    ]


def masked_conv_case(
    name: str, kernel: tuple[int, int], geometry: conv.ConvGeometry, *, residual: bool = False
) -> OpCase:
    weight = (8, 4 // geometry.groups, *kernel)

    def shapes(n: int, h: int, w: int) -> Shapes:
        out = conv.output_size(torch.Size((h, w)), kernel, geometry)
        return [(n, 4, h, w), weight, weight, (8,), *([(n, 8, *out)] if residual else [])]

    def call(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def run(x: Tensor, weight: Tensor, mask: Tensor, bias: Tensor, *rest: Tensor) -> Tensor:
            # The reference subtracts the mask from itself; and only a dense one is easily weighed.
            mask = (mask * 1).nan_to_num()
            added = rest[0] if residual else None
            return function(x * 0.25, weight, mask, bias, added, geometry, 0.5)

        return run

    def kept_bytes(count: int) -> int:
        # With stride 1 and half as many channels; and the two masks made above.
        return 4 * (count // 2) + bits_of(geometry.activation)(count) + 2 * 4 * math.prod(weight)

    return OpCase(
        f"masked_conv2d-{name}",
        call(masked_conv.masked_conv2d),
        call(masked_conv.masked_conv2d_reference),
        shapes,
        kept_bytes,
        frozen=frozenset({1}),
        straight_through=frozenset({2}),
        spoilers=() if geometry.activation == "relu6" else NON_FINITE,
        meta_strides=False,
    )


def masked_conv_cases() -> list[OpCase]:
    g = conv.ConvGeometry
    return [
        masked_conv_case("1x1", (1, 1), g()),
        masked_conv_case(
            "3x3-relu-sum", (3, 3), g((1, 1), (1, 1), activation="relu"), residual=True
        ),
        masked_conv_case("3x3-dilation-groups", (3, 3), g((1, 1), (2, 2), (2, 2), 2, "relu")),
        masked_conv_case("5x5-depthwise", (5, 5), g((1, 1), (2, 2), (1, 1), 4, "relu6")),
    ]


CASES = [
    *conv_cases(),
    *masked_conv_cases(),
    *activation_cases(),
    *two_slopes_cases(),
    gated_case(),
    *pad_cases(),
    *pool_cases(),
    *grid_cases(),
    *affine_cases(),
]
