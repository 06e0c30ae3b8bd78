"""Methods that change each convolution of the frozen backbone."""

import math
from dataclasses import dataclass
from typing import ClassVar

from addapt._errors import OptionError
from addapt.methods.base import Method, Recipe, check_counts, check_positive


@dataclass(frozen=True)
class Norm(Method):
    """Train a scale and a shift of each channel after every frozen convolution.

    For a convolution with its folded batch norm and an activation:

        z = W * x + b,    y = activation(g z + d)

    With g = 1 and d = 0, where training starts, the features are the backbone's own, bit for bit.

    *Deviations:* usually the batch norm's own scale and shift are trained, and its statistics
    follow the new images. Here all these are folded into W and b, so that g and d scale and shift
    the norm's result: the same functions, in other coordinates, but with the backbone's statistics.
    So a batch may be split into micro-batches exactly.

    *Source:* common practice, studied by Mudrakarta, Sandler, Zhmoginov, Howard, "K for the
    Price of 1: Parameter-efficient Multi-task and Transfer Learning", ICLR 2019.

    *Memory:* the gradient of g needs z, which is kept after every convolution:
    4 n c_out h2 w2 bytes, and 1 bit for each element of a ReLU.
    """

    name: ClassVar[str] = "norm"
    summary: ClassVar[str] = "scale and shift of every batch norm, statistics frozen"
    why_kept: ClassVar[str] = (
        "A trained scale multiplies the output of each convolution, which its gradient needs whole."
    )
    recipe: ClassVar[Recipe] = Recipe(lr=1e-3, micro_batch=8, label_smoothing=0.1)


@dataclass(frozen=True)
class LoRA(Method):
    """A low-rank update of the weight of every convolution.

    For a convolution with weight W, seen as a matrix of a row an output channel:

        y = activation((W + alpha / rank B A) * x + b)

    A has `rank` rows, each shaped as a kernel of W, and starts random; B starts at zero, so that
    before training the features are the backbone's own, bit for bit. Where W has one group, B A x
    is computed as what it is, a convolution by A to `rank` channels and a 1 x 1 by B; where it has
    several (depthwise), the small update is added to the weight. `merged_backbone` adds it for
    good: a domain then costs no more time than the backbone alone.

    Args:
        rank: of the update; no more than the kernel's elements for a convolution in groups.
        alpha: the update counts alpha / rank times.

    *Deviations:* the source adapts linear layers. The weights that are updated have the batch
    norms folded into them; statistics and shifts of the norms stay the backbone's, and biases are
    not trained. For grouped convolutions peft makes A grouped, too, which a depthwise one has no
    use for: here the update of the whole weight has the rank.

    *Source:* Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022, for
    linear layers; for convolutions as the package peft has it.

    *Memory:* A is trained, so that the input of every convolution must be kept: 4 n c_in h w
    bytes, and 4 n rank h2 w2 for B. All else is lean, 1 bit for each element of a ReLU.
    """

    name: ClassVar[str] = "lora"
    summary: ClassVar[str] = "a low-rank update of every convolution's weight"
    why_kept: ClassVar[str] = (
        "The first low-rank factor is trained on the input of each convolution, kept whole."
    )
    recipe: ClassVar[Recipe] = Recipe(lr=1e-3, micro_batch=8, label_smoothing=0.1)

    rank: int = 8
    alpha: float = 8.0

    def __post_init__(self) -> None:
        """Refuse hyper-parameters that make no sense."""
        check_counts("LoRA", rank=self.rank)
        check_positive("LoRA", "alpha", self.alpha, "8")


@dataclass(frozen=True)
class ParallelAdapter(Method):
    """A 1 x 1 convolution beside each k x k convolution of the frozen backbone.

    For a convolution with its folded batch norm, k > 1, and an activation:

        y = activation(W * x + b + A x),    A a 1 x 1 convolution of the same stride, with a bias

    `A` sees the middle of each window of `W`, and all its channels also where `W` is depthwise.
    It starts at zero: before training the features are the backbone's own, bit for bit. Biases
    of the convolutions without an adapter, the 1 x 1 ones, are trained, too.

    *Deviations:* the source gives each domain batch norms of its own, with statistics of its own
    images. Here the batch norms are folded and their statistics stay the backbone's; the trained
    biases stand for the norms' shifts. So a batch may be split into micro-batches exactly. In
    bottlenecks and inverted residuals, which the source does not treat, an adapter stands beside
    the one k x k convolution; where that is depthwise, among the many channels of an inverted
    residual, the adapters together have more parameters than the backbone. The source trains by
    SGD, at one rate; with Adam the adapters' weights need a lower one than biases and head.

    *Source:* Rebuffi, Bilen, Vedaldi, "Efficient Parametrization of Multi-Domain Deep Neural
    Networks", CVPR 2018.

    *Memory:* the adapter is trained, so that its input must be kept: 4 n c_in h2 w2 bytes for a
    k x k convolution with an output of h2 x w2, where stride 1 keeps the map itself and a larger
    stride the pixels that are used. All else is lean, 1 bit for each element of a ReLU.
    """

    name: ClassVar[str] = "parallel_adapter"
    summary: ClassVar[str] = "a 1 x 1 convolution beside each frozen k x k convolution"
    why_kept: ClassVar[str] = (
        "The adapter's weight is trained on the input of each k x k convolution, kept whole."
    )
    recipe: ClassVar[Recipe] = Recipe(lr=1e-3, micro_batch=8, label_smoothing=0.1, backbone_lr=1e-4)


@dataclass(frozen=True)
class SeriesAdapter(Method):
    """A 1 x 1 convolution with a skip after each k x k convolution of the frozen backbone.

    For a convolution with its folded batch norm, k > 1, and an activation:

        z = W * x + b,    y = activation(z + A z),    A a 1 x 1 convolution with a bias

    `A` sees all channels also where `W` is depthwise. It starts at zero: before training the
    features are the backbone's own, bit for bit. Biases of the convolutions without an adapter,
    the 1 x 1 ones, are trained, too.

    *Deviations:* the source has a batch norm inside the adapter, before its 1 x 1 convolution, and
    the network's batch norm after it, both the domain's own, with statistics of its own images.
    Here the frozen, folded norm comes before the adapter and none after it; the trained biases
    stand for the norms' shifts. So a batch may be split into micro-batches exactly. In bottlenecks
    and inverted residuals, which the source does not treat, an adapter follows the one k x k
    convolution; where that is depthwise, among the many channels of an inverted residual, the
    adapters together have more parameters than the backbone. The source trains by SGD, at one
    rate; with Adam the adapters' weights need a lower one than biases and head.

    *Source:* Rebuffi, Bilen, Vedaldi, "Learning multiple visual domains with residual
    adapters", NeurIPS 2017.

    *Memory:* the adapter is trained, so that its input z, the convolution's output, must be kept:
    4 n c_out h2 w2 bytes for a k x k convolution with an output of h2 x w2. All else is lean, 1 bit
    for each element of a ReLU.
    """

    name: ClassVar[str] = "series_adapter"
    summary: ClassVar[str] = "a 1 x 1 convolution after each frozen k x k convolution"
    why_kept: ClassVar[str] = (
        "The adapter's weight is trained on the output of each convolution, kept whole."
    )
    recipe: ClassVar[Recipe] = Recipe(lr=1e-3, micro_batch=8, label_smoothing=0.1, backbone_lr=1e-4)


@dataclass(frozen=True)
class Piggyback(Method):
    """Train, for each weight of each convolution, whether it counts for the domain.

    For a convolution with its folded batch norm and an activation:

        y = activation((W where m > threshold, else 0) * x + b)

    The real masks m get the gradient that a factor of W would, straight through the threshold.
    All start at `start`, above it: before training the features are the backbone's own, bit for
    bit. The domain's file keeps one bit a weight, which is all that is needed to predict; an
    unfinished run keeps the real masks.

    Args:
        start: the masks' first value.
        threshold: what a mask must exceed for its weight to count.

    *Deviations:* batch norms are folded into W, which changes nothing, as a norm scales whole
    rows of W; with them their shifts and statistics stay the backbone's, the simplest of the
    source's choices. The head learns faster than the masks; the source has one rate for both.

    *Source:* Mallya, Davis, Lazebnik, "Piggyback: Adapting a Single Network to Multiple Tasks
    by Learning to Mask Weights", ECCV 2018.

    *Memory:* the gradient of m needs the input of every convolution, which is kept: 4 n c_in h w
    bytes, and 1 bit for each element of a ReLU. Masks, their gradients and the optimiser's state
    take four times the backbone. Weights are read in their plain order: `pack_weights` has no
    effect on them, and where another domain has packed them, each call unpacks a copy.
    """

    name: ClassVar[str] = "piggyback"
    summary: ClassVar[str] = "a trained binary mask for each frozen weight, stored as one bit"
    why_kept: ClassVar[str] = (
        "The gradient of a mask needs the input of its convolution, kept whole."
    )
    recipe: ClassVar[Recipe] = Recipe(lr=1e-3, micro_batch=8, label_smoothing=0.1, backbone_lr=1e-4)

    start: float = 1e-2
    threshold: float = 5e-3

    def __post_init__(self) -> None:
        """Refuse masks that would not start above the threshold, and what is no number."""
        if not -math.inf < self.threshold < self.start < math.inf:
            raise OptionError(
                f"Piggyback's start is {self.start} and its threshold {self.threshold}: give a "
                "start above the threshold, such as 0.01 and 0.005."
            )
