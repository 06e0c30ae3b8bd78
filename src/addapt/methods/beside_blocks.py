"""Methods that put small trained modules beside whole blocks."""

from dataclasses import dataclass, replace
from typing import ClassVar

from typing_extensions import Self

from addapt._errors import OptionError
from addapt.methods.base import Method, Recipe, check_counts, check_kernel, check_positive


@dataclass(frozen=True)
class DA3(Method):
    """Additive spatial and channel attention beside every block, computed on a small grid.

    For block `f` with input `x`:

        y = f(x) + spread(W (S(q) + C(mean(q)) + q)),    q = V average_pool(x)

    `q` has one element for each square of y, at most grid x grid, and `spread` adds one to all
    of its square. `V` is a 1 x 1 convolution to c_in / reduction channels (at most `width`), `S`
    a grouped k x k convolution of these and ReLU, `C` a linear layer and ReLU, `W` a 1 x 1
    convolution to c_out. The same hidden features, through an output layer of their own, shift the
    inner channels of `f`, before the activation of its first convolution: where a square is one
    element, `q` alone makes of that a low-rank update of its weight. Output layers start at zero:
    before training the features are the backbone's own, bit for bit. There are no batch
    statistics: micro-batches give the gradient of the whole batch.

    Args:
        reduction: the hidden width is the input's channels divided by this,
        width: but not more than this, so that an adaptor grows with the channels, not their square.
        kernel: side of the convolution in `S`, odd.
        groups: groups of that convolution.
        grid: largest side of the pooled map.
        inner: also shift the inner channels of the blocks behind the first adaptor, where the
            backbone says which these are (`BlockInfo.inner_layers`).
        spatial: `S(q)` is among the hidden features.
        channel: `C(mean(q))` is.
        shortcut: `q` itself is, past both nonlinearities. One of these three is needed.
        biases: also train what is added after each convolution of the blocks behind the first
            adaptor; beside that one the block needs no backward, nor does anything before it.
        first_block: adaptors stand beside this block and all later ones; None means after the
            first third of the blocks, which are general and, their maps being large, slow.

    *Source:* Yang, Rakin, Fan, "DA3: Dynamic Additive Attention Adaption for Memory-Efficient
    On-Device Multi-Domain Learning", arXiv 2012.01362. The authors published no code; layer
    order, pooling, insertion points and rates are our own design, chosen by the trials in
    LOG.md.

    *Memory:* being added, the adaptor keeps for backward only its own pooled map and its hidden
    activations, about 4 n (c_in + 3 hidden) grid^2 bytes a block (without `S` 2 hidden less),
    never the block's output; a lean backbone's block keeps 1 bit for each element of a ReLU.
    """

    name: ClassVar[str] = "da3"
    summary: ClassVar[str] = "additive spatial and channel attention beside frozen blocks"
    why_kept: ClassVar[str] = (
        "Being added, it keeps what it computes on small pooled maps, never a block's output."
    )
    recipe: ClassVar[Recipe] = Recipe(lr=1e-3, micro_batch=8, label_smoothing=0.1)

    reduction: int = 4
    width: int = 24
    kernel: int = 5
    groups: int = 4
    grid: int = 8
    inner: bool = True
    spatial: bool = True
    channel: bool = True
    shortcut: bool = True
    biases: bool = True
    first_block: int | None = None

    def __post_init__(self) -> None:
        """Refuse hyper-parameters that make no sense."""
        check_counts(
            "DA3", reduction=self.reduction, width=self.width, groups=self.groups, grid=self.grid
        )
        check_kernel("DA3", self.kernel)
        if not (self.spatial or self.channel or self.shortcut):
            raise OptionError(
                "DA3's spatial, channel and shortcut are all False, so that nothing is computed: "
                "leave at least one of them True."
            )

    def for_backbone(self, blocks: int) -> Self:
        """Spell out `first_block`: a file must not depend on how it is chosen today."""
        if self.first_block is None:
            return replace(self, first_block=blocks // 3)
        if not 0 <= self.first_block < blocks:
            raise OptionError(
                f"DA3's first_block is {self.first_block}, but the backbone has blocks 0 to "
                f"{blocks - 1}: give one of these."
            )
        return self


@dataclass(frozen=True)
class TinyTL(Method):
    """Train all biases, and a lite residual module beside every block.

    For block `f` with input `x`, its biases shifted by what is trained:

        y = f(x) + spread(norm(W relu(norm(S p)))),    p = average_pool(x)

    `S` is a grouped k x k convolution with the block's stride, `W` a 1 x 1 convolution. The
    scale of the last norm starts at zero: before training the features are the backbone's own.

    Args:
        reduction: side of the squares that `p` averages.
        kernel: side of the convolution `S`, odd.
        groups: of `S`; blocks wider than 192 channels have more, of at most 96 channels.
        expand: hidden channels a channel of the block's input,
        width: but not more than this in all.
        biases: also train the biases; without, it is the variant called TinyTL-L.

    *Deviations:* the source pre-trains backbone and modules together on ImageNet, with group
    norm and standardised weights everywhere, and quantises frozen weights to 8 bits; here the
    backbone keeps its batch norms with frozen statistics, and the modules start from random
    weights, with group norm (8 channels a group, as there) and ordinary weights. Spreading is
    nearest, not bilinear, so that it writes into the block's output. Kernels do not shrink where
    a map is smaller than they are. The source has inverted residuals only; `width` and
    smaller groups are ours, and keep the modules of a ResNet's wide blocks lite.

    *Source:* Cai, Gan, Zhu, Han, "TinyTL: Reduce Memory, Not Parameters for Efficient On-Device
    Learning", NeurIPS 2020; the authors' code is public.

    *Memory:* per block, that of a `LiteResidual` on the pooled maps, which are 1 / reduction^2 of
    the block's input and output, and 1 bit for each element of a frozen ReLU.
    """

    name: ClassVar[str] = "tinytl"
    summary: ClassVar[str] = "trained biases and lite residual modules beside frozen blocks"
    why_kept: ClassVar[str] = (
        "Residual modules are trained on pooled maps, which they keep; biases need none."
    )
    recipe: ClassVar[Recipe] = Recipe(lr=3e-3, micro_batch=8, label_smoothing=0.1)

    reduction: int = 2
    kernel: int = 5
    groups: int = 2
    expand: float = 1.0
    width: int = 192
    biases: bool = True

    def __post_init__(self) -> None:
        """Refuse hyper-parameters that make no sense."""
        check_counts("TinyTL", reduction=self.reduction, groups=self.groups, width=self.width)
        check_kernel("TinyTL", self.kernel)
        check_positive("TinyTL", "expand", self.expand, "1")


@dataclass(frozen=True)
class RepNet(Method):
    """Train a chain of small modules that exchanges features with the backbone at intervals.

    The modules stand beside chosen parts of the backbone: where a stage begins, and the last
    block. The first one reads the image, each later one `x`, what goes into its own part `f`:

        y = f(x) + spread(norm(W relu(norm(S p)))),    p = average_pool(x)

    The sum is the exchange, both ways: the backbone goes on with it, and so, from there, does the
    next module. `S` is a grouped k x k convolution, `W` a 1 x 1 convolution. The scale of the last
    norm starts at zero: before training the features are the backbone's own.

    Args:
        modules: how many, at most; the last ones of the possible places.
        kernel: side of the convolution `S`, odd.
        groups: of `S`; parts wider than 192 channels have more, of at most 96 channels.
        expand: hidden channels a channel of the input,
        width: but not more than this in all.
        biases: also train the biases of all frozen layers.

    *Deviations:* the source's modules have batch norm (group norm with MobileNetV3) and
    standardised weights; here it is group norm, which needs no batch, and ordinary weights. The
    head and the modules learn at one rate; there the modules learn at 5 times the head's. Spreading
    is nearest, not bilinear. On ResNets the source has a quarter of the input's channels hidden;
    here `width` and smaller groups keep the modules small. The places are those of the source
    for ResNet-50 and MobileNetV2, by a rule that serves any backbone.

    *Source:* Yang, Rakin, Fan, "Rep-Net: Efficient On-Device Learning via Feature
    Reprogramming", CVPR 2022; the authors' code is public.

    *Memory:* per module, that of a `LiteResidual` on maps of half the side; 1 bit for each element
    of a frozen ReLU behind the first module, or, with `biases`, of all of them.
    """

    name: ClassVar[str] = "repnet"
    summary: ClassVar[str] = "a small side network that exchanges features with frozen stages"
    why_kept: ClassVar[str] = "The side network is trained on its own small maps, which it keeps."
    recipe: ClassVar[Recipe] = Recipe(lr=3e-3, micro_batch=8, label_smoothing=0.1)

    modules: int = 6
    kernel: int = 5
    groups: int = 2
    expand: float = 1.0
    width: int = 192
    biases: bool = False

    def __post_init__(self) -> None:
        """Refuse hyper-parameters that make no sense."""
        check_counts("RepNet", modules=self.modules, groups=self.groups, width=self.width)
        check_kernel("RepNet", self.kernel)
        check_positive("RepNet", "expand", self.expand, "1")
