"""What the devices of a fleet agree on before they learn."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from typing_extensions import Self

from addapt._errors import AddaptError, FleetError, OptionError
from addapt._text import printable
from addapt.backbones import check_backbone
from addapt.domains import check_classes, check_name
from addapt.engines.abilities import ABILITIES
from addapt.learning.job import Asked
from addapt.learning.lesson import check_image_px
from addapt.methods import Method, build_method

MOST_ROUNDS = 10_000
MOST_IMAGES = 10_000_000
MOST_CHARACTERS = 200


@dataclass(frozen=True)
class Offer:
    """What a device has: how many images of each class, and of which size it would learn them."""

    images: dict[str, int]
    image_px: int
    backbone: str
    weights_sha256: str

    def to_text(self) -> str:
        """Return it as JSON."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read what a device sent, which may be anything.

        Raises:
            FleetError: it is no offer.
        """
        try:
            offer = cls(**json.loads(text))
            _require(isinstance(offer.images, dict), "no images by class")
            check_classes(tuple(offer.images))
            _require(
                all(type(n) is int and 0 < n <= MOST_IMAGES for n in offer.images.values()),
                "numbers of images that cannot be",
            )
            _require(type(offer.image_px) is int, f"images of {offer.image_px} px")
            check_image_px(offer.image_px)
            for word in (offer.backbone, offer.weights_sha256):
                _require(isinstance(word, str) and len(word) <= MOST_CHARACTERS, "no name")
        except (TypeError, ValueError, RecursionError, AddaptError) as error:
            raise FleetError(f"It offers what makes no sense: {error}") from error
        return offer


@dataclass(frozen=True)
class Plan:
    """What all devices learn, and how: decided by the server, checked by each device."""

    name: str
    classes: tuple[str, ...]
    method: Method
    image_px: int
    rounds: int
    seed: int
    backbone: str
    weights_sha256: str

    @property
    def asked(self) -> Asked:
        """What a user would have asked for who learns alone."""
        return {
            "method": self.method,
            "epochs": self.rounds,  # a pass a round
            "image_px": self.image_px,
            "seed": self.seed,
            "balance": "off",  # a class that is rare on one device need not be so on others
        }

    def to_text(self) -> str:
        """Return it as JSON."""
        fields = dataclasses.asdict(self)
        return json.dumps(fields | {"method": [self.method.name, fields["method"]]})

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read what a server sent, which may be anything.

        Raises:
            FleetError: it is no plan.
        """
        try:
            fields: dict[str, Any] = json.loads(text)
            _require(isinstance(fields, dict), "no fields")
            _require(isinstance(fields["classes"], list), "no list of classes")
            method = build_method(*fields.pop("method"))
            plan = cls(**fields | {"method": method, "classes": tuple(fields["classes"])})
            check_name(plan.name)
            for word in (plan.backbone, plan.weights_sha256, *plan.classes):
                _require(isinstance(word, str), "no name")
            check_classes(plan.classes)
            for number in (plan.image_px, plan.rounds, plan.seed):
                _require(type(number) is int, f"{number!r} is no number")
            check_image_px(plan.image_px)
            check_rounds(plan.rounds)
            _require(0 <= plan.seed < 2**63, f"the seed {plan.seed}")
        except (TypeError, ValueError, LookupError, RecursionError, AddaptError) as error:
            raise FleetError(f"The server's plan makes no sense: {error}") from error
        return plan


def check_rounds(rounds: int) -> None:
    """Raise an OptionError if so many rounds make no sense."""
    if not 1 <= rounds <= MOST_ROUNDS:
        raise OptionError(f"`rounds` is {rounds}: give 1 to {MOST_ROUNDS}.")


def check_engine(backbone: str, method: str | None = None) -> None:
    """Refuse a backbone, or a method, that devices cannot learn with.

    Raises:
        UnknownNameError: there is no such thing.
        OptionError: it needs PyTorch, with which fleets do not learn.
    """
    check_backbone(backbone)
    if method is not None:
        build_method(method)
    if lack := ABILITIES["onnx"].lack(backbone=backbone, method=method):
        raise OptionError(f"Fleets learn without PyTorch, and so with no {lack}")


def agree_on_classes(offers: Sequence[Offer]) -> tuple[str, ...]:
    """Return the classes of all devices together, in the order of their names.

    Raises:
        FleetError: they are fewer than two.
    """
    classes = tuple(sorted({label for offer in offers for label in offer.images}))
    if len(classes) < 2:
        raise FleetError(
            f"All devices together have {len(classes)} class ({printable(', '.join(classes))}). "
            "Learning needs two: wait for a device that has another, with a larger `min_devices`."
        )
    return classes


def agree_on_size(offers: Sequence[Offer]) -> int:
    """Return the size that most devices would choose, the larger one of two."""
    sizes = [offer.image_px for offer in offers]
    return max(sizes, key=lambda px: (sizes.count(px), px))


def lacking(offer: Offer, classes: Sequence[str]) -> list[str]:
    """Return the classes of which a device has no image."""
    return [label for label in classes if label not in offer.images]


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)
