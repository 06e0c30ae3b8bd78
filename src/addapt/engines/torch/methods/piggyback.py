"""Piggyback: a trained binary mask for each weight of the frozen backbone.

Source: Mallya, Davis, Lazebnik, "Piggyback: Adapting a Single Network to Multiple Tasks by
Learning to Mask Weights", ECCV 2018.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from addapt._errors import OptionError
from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.freezing import FrozenConv2d
from addapt.engines.torch.methods.base import AdaptedModel, Adaptor, Method, Recipe
from addapt.engines.torch.methods.convolutions import ConvolutionAdaptor
from addapt.engines.torch.ops.bits import bits_bytes, pack_bits, unpack_bits
from addapt.engines.torch.ops.masked_conv import masked_conv2d


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
    recipe: ClassVar[Recipe] = Recipe(
        lr=1e-3, epochs=10, micro_batch=8, label_smoothing=0.1, backbone_lr=1e-4
    )

    start: float = 1e-2
    threshold: float = 5e-3

    def __post_init__(self) -> None:
        """Check the hyper-parameters.

        Raises:
            OptionError: the masks would not start above the threshold, or it is no number.
        """
        if not -math.inf < self.threshold < self.start < math.inf:
            raise OptionError(
                f"Piggyback's start is {self.start} and its threshold {self.threshold}: give a "
                "start above the threshold, such as 0.01 and 0.005."
            )

    def attach(self, backbone: Backbone, classes: int) -> AdaptedModel:
        """Make a model with a mask for the weight of every convolution.

        Raises:
            OptionError: the backbone is plain.
        """
        return AdaptedModel(backbone, MaskedConvolutions(backbone, self), classes)


class MaskedConvolutions(Adaptor):
    """The masks of all convolutions."""

    def __init__(self, backbone: Backbone, method: Piggyback) -> None:
        super().__init__()
        self.method = method
        self.convolutions = ConvolutionAdaptor(backbone, partial(Mask, method=method))

    def forward(self, backbone: Backbone, x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n f"]:
        """Compute the features of the masked network."""
        features: Tensor = self.convolutions(backbone, x)
        return features

    def pretrained_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the masks: they make the pre-trained network at first, and have its rate."""
        return self.parameters()

    def stored(self, name: str, tensor: Tensor) -> Tensor:
        """Return one bit an element: whether its weight counts."""
        if tensor.is_meta:  # only the shape is asked for
            return tensor.new_empty(bits_bytes(tensor.numel()), dtype=torch.uint8)
        return pack_bits((tensor.detach() > self.method.threshold).flatten().float())

    def restored(self, name: str, tensor: Tensor) -> Tensor:
        """Return a mask as far above or below the threshold as it was in the beginning."""
        own = dict(self.named_parameters()).get(name)
        is_packed = tensor.dtype == torch.uint8 and tensor.dim() == 1
        if own is None or not is_packed or len(tensor) != bits_bytes(own.numel()):
            return tensor  # whoever loads it will refuse it
        counts = unpack_bits(tensor, own.numel(), torch.float32).bool().view(own.shape)
        start, threshold = self.method.start, self.method.threshold
        return torch.where(counts, start, 2 * threshold - start)


class Mask(nn.Module):
    """The real mask of one convolution's weight."""

    def __init__(self, convolution: FrozenConv2d, method: Piggyback) -> None:
        super().__init__()
        self.threshold = method.threshold
        # in the memory order of the weight
        self.mask = nn.Parameter(convolution.plain_weight().clone().fill_(method.start))

    def forward(
        self,
        convolution: FrozenConv2d,
        x: Float[Tensor, "n c_in h w"],
        residual: Float[Tensor, "n c_out h2 w2"] | None = None,
    ) -> Float[Tensor, "n c_out h2 w2"]:
        """Compute activation(masked weight * x + bias + residual)."""
        return masked_conv2d(
            x,
            convolution.plain_weight(),
            self.mask,
            convolution.bias,
            residual,
            convolution.geometry,
            self.threshold,
        )
