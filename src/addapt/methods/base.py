"""What a method of adaptation is: its name, its hyper-parameters, and how it is trained."""

import math
from abc import ABC
from dataclasses import dataclass
from typing import ClassVar

from typing_extensions import Self

from addapt._errors import OptionError


@dataclass(frozen=True)
class Recipe:
    """How a method is trained unless the user says otherwise; LOG-archive.md has the trials.

    `lr` is Adam's peak learning rate (warm-up, then cosine to zero), `backbone_lr`
    that of parameters that started from pre-trained values or are as sensitive, if there are such.
    A run has `epochs` passes, or more if those are fewer than `min_steps` steps of `batch`
    images: few images need more passes. Of a batch, `micro_batch` images are in memory
    at once (None: all), which changes nothing but memory and time. A run ends early when
    validation has not become better for `patience`, a share of the passes. `augmentation` is
    the strength of the images' random changes: 1 as `addapt.images.Augmentation` has them, 0
    for none.
    """

    lr: float
    epochs: int = 5
    min_steps: int = 250
    batch: int = 16
    micro_batch: int | None = None
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    augmentation: float = 1.0
    backbone_lr: float = 0.0
    patience: float = 0.5


@dataclass(frozen=True)
class Method(ABC):
    """A way of adapting: a frozen dataclass whose fields are its hyper-parameters.

    It says what is computed; an engine knows how. For one of your own see `register_method`.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    why_kept: ClassVar[str]  # what of a step must be kept for backward, in a sentence
    recipe: ClassVar[Recipe]
    batch_statistics: ClassVar[bool] = False  # whether training needs more than one image
    plain: ClassVar[bool] = False  # whether it trains a plain copy of the backbone

    def for_backbone(self, blocks: int) -> Self:
        """Return this method with every default that depends on the backbone's blocks spelt out.

        Raises:
            OptionError: a hyper-parameter does not fit so many blocks.
        """
        return self


def check_counts(method: str, **counts: int) -> None:
    """Refuse numbers below 1."""
    for name, count in counts.items():
        if count < 1:
            raise OptionError(f"{method}'s {name} is {count}: give at least 1.")


def check_kernel(method: str, kernel: int) -> None:
    """Refuse the side of a kernel that has no middle."""
    if kernel < 1 or kernel % 2 == 0:
        raise OptionError(f"{method}'s kernel is {kernel}: give an odd number, such as 5.")


def check_positive(method: str, name: str, value: float, example: str) -> None:
    """Refuse what is not a finite number above 0."""
    if not 0 < value < math.inf:
        raise OptionError(
            f"{method}'s {name} is {value}: give a number above 0, such as {example}."
        )
