"""What is to be learned and how: with images and weights it decides every bit of the result."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, TypedDict

from addapt._errors import OptionError, UnknownNameError
from addapt.engines.base import Engine, StepSettings
from addapt.gates import GateConfig
from addapt.images import Augmentation
from addapt.learning.balance import AUTO, BALANCES, Lift, class_lift, settle_balance
from addapt.learning.checkpoint import ENGINE, EXTENDS, THREADS
from addapt.learning.extending import SHARE_OF_PASSES
from addapt.learning.lesson import Lesson
from addapt.methods import Method, build_method, require_registered

DEFAULT_METHOD = "da3"
VAL_FRACTION = 0.1


class Asked(TypedDict, total=False):
    """What a user may say about learning; what is left out is as the method recommends.

    `method`: how to adapt, or its name.
    `epochs`: passes over the images; half of the method's where a domain is extended.
    `batch`: images a step.
    `micro_batch`: images in memory at once, whose gradients add up to the batch's. Unless given
    the whole batch, or, with a budget, as the method recommends, or fewer.
    `lr`: peak learning rate.
    `image_px`: side of the images; by default the backbone's native one, or smaller when the images
    themselves are.
    `seed`: decides everything random.
    `val_fraction`: share held out for validation when the folder has no val.
    `flip`: mirror half of the images in training; it harms digits, letters and the like.
    `gates`: what predicting may leave out, to be faster.
    `balance`: "on" gives rare classes more weight, "off" does not; "auto" does where classes are
    very uneven.
    """

    method: Method | str | None
    epochs: int | None
    batch: int | None
    micro_batch: int | None
    lr: float | None
    image_px: int | None
    seed: int
    val_fraction: float
    flip: bool
    gates: GateConfig | None
    balance: str


def asked_method(asked: Asked) -> Method | str:
    """Return the method that is asked for, or its name."""
    return asked.get("method") or DEFAULT_METHOD


def method_for(asked: Asked, engine: Engine) -> Method:
    """Return the method that is asked for, spelt out for the engine's backbone.

    Raises:
        AddaptError: there is no such method, or not in this engine, or no such gates.
    """
    method = asked_method(asked)
    if isinstance(method, str):
        method = build_method(method)
    require_registered(method)
    engine.require(method, asked.get("gates"))
    return method.for_backbone(len(engine.backbone.blocks))


def check_asked(asked: Asked, method: Method) -> None:
    """Refuse values that make no sense, before any image is read.

    Raises:
        OptionError, UnknownNameError: there is one.
    """
    if unknown := sorted(asked.keys() - Asked.__annotations__.keys()):
        raise UnknownNameError("option of learning", unknown[0], Asked.__annotations__)
    for name in ("epochs", "batch", "micro_batch"):
        value: Any = asked.get(name)
        if value is not None and value < 1:
            raise OptionError(f"`{name}` is {value}: give at least 1.")
    lr, seed = asked.get("lr"), asked.get("seed", 0)
    if lr is not None and not 0 < lr < math.inf:
        raise OptionError(f"`lr` is {lr}: give a number above 0, such as {method.recipe.lr:g}.")
    if not 0 <= seed < 2**63:
        raise OptionError(f"`seed` is {seed}: give a number from 0 to 2^63 - 1.")
    balance = asked.get("balance", AUTO)
    if balance not in BALANCES:
        raise UnknownNameError("balance", balance, BALANCES)
    batch = batch_of(asked, method)
    if method.batch_statistics and min(asked.get("micro_batch") or batch, batch) == 1:
        raise OptionError(
            f"Method {method.name!r} needs statistics of several images: give `batch` and "
            "`micro_batch` of at least 2."
        )


def batch_of(asked: Asked, method: Method) -> int:
    """Return the images of a step."""
    return asked.get("batch") or method.recipe.batch


@dataclass(frozen=True)
class Job:
    """A run of learning with every value spelt out.

    `image_px` is the side of the images, `full_px` what it would be without gates. `micro_batch`
    images are in memory at once; gradients of `batch` images make one step.
    """

    method: Method
    gates: GateConfig | None
    image_px: int
    full_px: int
    epochs: int
    batch: int
    micro_batch: int
    lr: float
    backbone_lr: float
    weight_decay: float
    label_smoothing: float
    patience: int
    seed: int
    augmentation: Augmentation
    balance: bool = False

    @classmethod
    def of(cls, asked: Asked, method: Method, lesson: Lesson, micro_batch: int) -> "Job":
        """Fill in what the method recommends for so many images where the user said nothing."""
        recipe = method.recipe
        batch = batch_of(asked, method)
        epochs = asked.get("epochs")
        if epochs is None:
            steps_per_epoch = math.ceil(len(lesson.train) / batch)
            epochs = max(recipe.epochs, math.ceil(recipe.min_steps / steps_per_epoch))
            if lesson.start is not None:
                epochs = math.ceil(SHARE_OF_PASSES * epochs)
        lr = asked.get("lr") or recipe.lr
        return cls(
            method=method,
            gates=asked.get("gates"),
            image_px=lesson.image_px,
            full_px=lesson.full_px,
            epochs=epochs,
            batch=batch,
            micro_batch=min(micro_batch, batch),
            lr=lr,
            backbone_lr=recipe.backbone_lr * lr / recipe.lr,
            weight_decay=recipe.weight_decay,
            label_smoothing=recipe.label_smoothing,
            patience=max(1, math.ceil(recipe.patience * epochs)),
            seed=asked.get("seed", 0),
            augmentation=Augmentation.of_strength(
                recipe.augmentation, flip=asked.get("flip", False)
            ),
            balance=settle_balance(asked.get("balance", AUTO), lesson.train.labels),
        )

    def resized(self, px: int) -> "Job":
        """Return the same for images of another size, as many in memory as take about the same."""
        micro_batch = min(self.batch, self.micro_batch * self.image_px**2 // px**2)
        return dataclasses.replace(self, image_px=px, micro_batch=micro_batch)

    @property
    def settings(self) -> StepSettings:
        """What the engine has to know of it."""
        return StepSettings(self.lr, self.backbone_lr, self.weight_decay, self.label_smoothing)

    @property
    def options(self) -> dict[str, Any]:
        """What a domain's file says about learning besides the method, the gates and the size."""
        fields = dataclasses.asdict(self)
        return {name: fields[name] for name in fields if name not in _ELSEWHERE}

    def lift(self, lesson: Lesson) -> Lift | None:
        """Return what is added to the logits once they are learned; None for nothing."""
        if not self.balance:
            return None
        return class_lift(lesson.train.labels, len(lesson.classes), self.label_smoothing)

    def steps_per_epoch(self, train_images: int) -> int:
        """Return into how many batches an epoch is split, which differ by one image at most."""
        return parts_of(train_images, self.batch, statistics=self.method.batch_statistics)

    def fingerprint(self, engine: Engine, lesson: Lesson) -> dict[str, Any]:
        """Return everything that decides the result, to recognise an unfinished run by."""
        return {
            ENGINE: engine.name,
            "backbone": engine.backbone.name,
            "weights": engine.backbone.weights_sha256,
            "method": self.method.name,
            "method's hyper-parameters": dataclasses.asdict(self.method),
            "image size": self.image_px,
            "image size without gates": self.full_px,
            "gates": None if self.gates is None else dataclasses.asdict(self.gates),
            THREADS: engine.threads,
            EXTENDS: None if lesson.start is None else lesson.start.sha256,
            **self.options,
            "list of classes": list(lesson.classes),
            "set of images": lesson.fingerprint,
            "range of grey values": list(lesson.value_range),
        }


_ELSEWHERE = ("method", "gates", "image_px", "full_px")


def parts_of(images: int, size: int, *, statistics: bool) -> int:
    """Return into how many parts so many images are split.

    Args:
        images: at least 1.
        size: the most that a part should have.
        statistics: those of a part count, so that none may be of a single image; then some have
            one more.
    """
    parts = math.ceil(images / size)
    return min(parts, max(1, images // 2)) if statistics else parts
