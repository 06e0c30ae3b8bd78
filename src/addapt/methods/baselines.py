"""What adaptors are compared with: the head alone, biases, and all weights."""

from dataclasses import dataclass
from typing import ClassVar

from addapt.methods.base import Method, Recipe


@dataclass(frozen=True)
class Head(Method):
    """Train a linear classifier on the frozen features, nothing else.

    *Memory:* the features, 4 n f bytes, and the logits. In training few images at once go through
    the backbone, as none of its maps is needed later.
    """

    name: ClassVar[str] = "head"
    summary: ClassVar[str] = "a linear classifier on the frozen features"
    why_kept: ClassVar[str] = "Nothing before the head is trained, so only its input is kept."
    recipe: ClassVar[Recipe] = Recipe(lr=3e-3)


@dataclass(frozen=True)
class Bias(Method):
    """Train the biases of all frozen layers, from the stem to the tail.

    For every layer y = activation(w * x + b + residual), with its batch norm folded into w and b:

        y = activation(w * x + (b + shift) + residual)

    The shifts start at zero: before training the features are the backbone's own.

    *Deviations:* the source trains biases of group norms, which its backbones were given and
    pre-trained with anew; here they are those of batch norms with frozen statistics.

    *Source:* Cai, Gan, Zhu, Han, "TinyTL: Reduce Memory, Not Parameters for Efficient On-Device
    Learning", NeurIPS 2020, where it is the variant called TinyTL-B.

    *Memory:* 1 bit for each element of a ReLU and 1 byte for each of a max pooling's output; a
    bias's gradient needs nothing. A plain backbone keeps the maps themselves.
    """

    name: ClassVar[str] = "bias"
    summary: ClassVar[str] = "trained biases of all frozen layers"
    why_kept: ClassVar[str] = (
        "A bias's gradient needs no map; bits of the activations pass the gradient on."
    )
    recipe: ClassVar[Recipe] = Recipe(lr=3e-3, micro_batch=8, label_smoothing=0.1)


@dataclass(frozen=True)
class Finetune(Method):
    """Train every weight of a copy of the backbone, with batch statistics.

    One domain costs a whole backbone.

    *Memory:* backward keeps the input of every layer.
    """

    name: ClassVar[str] = "finetune"
    summary: ClassVar[str] = "a trained copy of the whole backbone, batch norms included"
    why_kept: ClassVar[str] = "Every weight is trained, so the input of every layer must be kept."
    batch_statistics: ClassVar[bool] = True
    plain: ClassVar[bool] = True
    recipe: ClassVar[Recipe] = Recipe(lr=1e-3, backbone_lr=1e-3)


@dataclass(frozen=True)
class FinetuneFrozenBn(Method):
    """Train every weight of a copy of the backbone; batch norms keep the backbone's statistics.

    Their scale and shift are trained. Nothing depends on the other images of a batch, so
    micro-batches give the gradient of the whole batch.

    *Memory:* backward keeps the input of every layer, of one micro-batch.
    """

    name: ClassVar[str] = "finetune_frozen_bn"
    summary: ClassVar[str] = "a trained copy of the whole backbone, batch statistics frozen"
    why_kept: ClassVar[str] = Finetune.why_kept
    plain: ClassVar[bool] = True
    recipe: ClassVar[Recipe] = Recipe(lr=1e-3, micro_batch=8, backbone_lr=1e-3)
