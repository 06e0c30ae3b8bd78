"""A batch in parts: the same gradient, with only one part's activations in memory at once."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from addapt._errors import OptionError


def accumulate_gradients(
    model: nn.Module,
    x: Float[Tensor, "n 3 h w"],
    labels: Int[Tensor, " n"],
    *,
    micro_batch: int | None = None,
    label_smoothing: float = 0.0,
) -> float:
    """Add the gradient of a batch's mean cross-entropy to the parameters; return that mean.

    Nothing but memory and time depends on `micro_batch` unless the model computes statistics of
    its batch, as fine-tuning does in training mode: the gradient is that of the whole batch, up to
    rounding.

    Args:
        model: maps images to logits.
        x: normalised images.
        labels: their classes.
        micro_batch: the most images in memory at once; by default all. The parts differ by at
            most one image in size: statistics of a single one would be poor.
        label_smoothing: as in `torch.nn.functional.cross_entropy`.

    Raises:
        OptionError: `micro_batch` is not at least 1, or there is no image.
    """
    if len(x) == 0:
        raise OptionError("A batch without an image has no gradient: give at least one.")
    if micro_batch is not None and micro_batch < 1:
        raise OptionError(f"`micro_batch` is {micro_batch}: give at least 1.")
    count = 1 if micro_batch is None else math.ceil(len(x) / micro_batch)
    parts = zip(torch.tensor_split(x, count), torch.tensor_split(labels, count), strict=True)
    losses = [
        add_gradient(model, part, part_labels, images=len(x), label_smoothing=label_smoothing)
        for part, part_labels in parts
    ]
    return sum(loss.item() for loss in losses)


def add_gradient(
    model: nn.Module,
    x: Float[Tensor, "k 3 h w"] | Callable[[], Float[Tensor, "k 3 h w"]],
    labels: Int[Tensor, " k"],
    *,
    images: int,
    label_smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """Add one part's share of the gradient of a batch of `images`; return its share of the loss.

    A function that makes `x` saves its memory in backward, when a frozen network needs it no more.
    """
    logits = model(x() if callable(x) else x)
    loss_sum = F.cross_entropy(logits, labels, label_smoothing=label_smoothing, reduction="sum")
    loss = loss_sum / images
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.detach()
