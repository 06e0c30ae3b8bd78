"""What is asked of a gated domain, and what its file says about its gates."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, cast

from addapt._errors import DomainError, OptionError, UnknownNameError
from addapt.domains import DomainInfo
from addapt.domains.info import IMAGE_PX_LIMIT

RESOLUTION, BLOCKS = UNITS = ("resolution", "blocks")
# What costs little accuracy, see docs/GATES.md; blocks alone reach less of the compute.
USUAL_COMPUTE = {RESOLUTION: 0.4, BLOCKS: 0.6}
STEP_PX = 8  # sizes are multiples of this
SMALLEST_PX = 32


@dataclass(frozen=True)
class GateConfig:
    """What may be left out, for whom, and how much is to be computed.

    Args:
        unit: "resolution", the images' size; "blocks", whole blocks with an identity shortcut,
            of which the shortcut and the adaptor stay.
        dynamic: decide for each image; else the same is left out for the whole domain.
        compute: the share of the ungated multiply-adds that an image costs on average; by default
            0.4 for "resolution" and 0.6 for "blocks".
        lose: of two looks, the points of accuracy that they may lose: so few images as that takes
            are looked at again, and `compute` decides the size of the first look only.
    """

    unit: str = RESOLUTION
    dynamic: bool = False
    compute: float = cast(float, None)
    lose: float | None = None

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if self.unit not in UNITS:
            raise UnknownNameError("gate unit", self.unit, UNITS)
        if self.compute is None:
            object.__setattr__(self, "compute", USUAL_COMPUTE[self.unit])
        if not 0 < self.compute <= 1:
            raise OptionError(
                f"`compute` is {self.compute}: give a share above 0 and at most 1, such as 0.6."
            )
        if self.lose is not None and not self.looks_twice:
            raise OptionError(
                f"`lose` is about two looks, and these are {self.words}: leave it out, or ask for "
                f"dynamic gates of {RESOLUTION!r}."
            )
        if self.lose is not None and not 0 <= self.lose < 100:
            raise OptionError(
                f"`lose` is {self.lose}: give points of accuracy from 0 to below 100, such as 0.3."
            )
        for name in ("compute", "lose"):  # a domain's file says floats
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, float(value))

    @property
    def kind(self) -> str:
        """Whether it is decided for each image or for all, in a word."""
        return "dynamic" if self.dynamic else "static"

    @property
    def words(self) -> str:
        """Unit and kind, such as "static gates of resolution"."""
        return f"{self.kind} gates of {self.unit}"

    @property
    def shrinks_images(self) -> bool:
        """Whether the domain is learned from smaller images, and the model has no gates."""
        return self.unit == RESOLUTION and not self.dynamic

    @property
    def looks_twice(self) -> bool:
        """Whether the domain has two models: a look at small images, and one at them in full."""
        return self.unit == RESOLUTION and self.dynamic


@dataclass(frozen=True)
class Looks:
    """Two looks at an image, as a domain's file tells of them.

    Args:
        first_px: side of the images of the first look.
        threshold: where no class is so probable at the first look, the second answers.
        second_share: of the images held out, how many that were.
    """

    first_px: int
    threshold: float
    second_share: float


@dataclass(frozen=True)
class GateReport:
    """What gates do to images that were not learned from.

    Args:
        compute: multiply-adds as a share of those with all gates open.
        accuracy: with gates.
        ungated_accuracy: with all gates open; None for static resolution, which knows no other.
        open_shares: for each block, for how many of the images it is closed and for how many open,
            or (1.0,) if it is always open; or how many get one look and how many two. Empty for
            static resolution.
        rescues: how often in training almost all gates were closed, or open, and were set anew.
    """

    compute: float
    accuracy: float
    ungated_accuracy: float | None
    open_shares: tuple[tuple[float, ...], ...]
    rescues: int = 0


def gates_fields(
    config: GateConfig, full_px: int, report: GateReport, looks: Looks | None = None
) -> dict[str, Any]:
    """Return what the file of a domain with gates says about them."""
    shares = [list(row) for row in report.open_shares]
    said = dataclasses.asdict(report) | {"open_shares": shares}
    of_looks = {} if looks is None else {"looks": dataclasses.asdict(looks)}
    return dataclasses.asdict(config) | {"full_px": full_px, "report": said} | of_looks


def gates_from(info: DomainInfo) -> GateConfig | None:
    """Return the gates of a domain, as its file says; None without any.

    Raises:
        AddaptError: the file says what makes no sense, or needs gates that there are not.
    """
    if not info.gates:
        return None
    fields = {field.name: info.gates.get(field.name) for field in dataclasses.fields(GateConfig)}
    if fields["unit"] == "channels":
        raise DomainError(
            "Its gates leave out channels, which this version of addapt cannot do. Learn the "
            f"domain again, with gates of {BLOCKS!r} or {RESOLUTION!r} or without gates, or use "
            "the version that wrote it (`addapt show` tells)."
        )
    types = {"unit": str, "dynamic": bool, "compute": float, "lose": float | None}
    full_px, report = info.gates.get("full_px"), info.gates.get("report")
    if (
        any(not isinstance(fields[name], kind) for name, kind in types.items())
        or not (type(full_px) is int and 1 <= full_px <= IMAGE_PX_LIMIT)
        or not (isinstance(report, dict) and isinstance(report.get("compute"), float))
    ):
        raise _senseless(info)
    config = GateConfig(**fields)  # type: ignore[arg-type]
    if config.looks_twice and "looks" not in info.gates:
        raise DomainError(
            "Its two looks share one adaptor, which this version of addapt cannot do, as it loses "
            "accuracy. Learn the domain again, with `restart=True`, or use the version that wrote "
            "it (`addapt show` tells)."
        )
    return config


def looks_from(info: DomainInfo) -> Looks | None:
    """Return the two looks of a domain, as its file says; None if it has but one.

    Raises:
        AddaptError: as `gates_from`.
    """
    config = gates_from(info)
    if config is None or not config.looks_twice:
        return None
    said = info.gates["looks"]
    try:
        looks = Looks(**said)
        is_right = (
            type(looks.first_px) is int
            and SMALLEST_PX <= looks.first_px <= info.image_px
            and type(looks.threshold) is type(looks.second_share) is float
            and 0 <= looks.second_share <= 1
        )
    except TypeError:
        is_right = False
    if not is_right:
        raise _senseless(info)
    return looks


def _senseless(info: DomainInfo) -> DomainError:
    return DomainError(
        f"Its gates are {str(info.gates)[:200]}, which makes no sense. Restore the file from a "
        "copy or learn the domain again."
    )


def require_gates(domain: str, info: DomainInfo) -> GateConfig:
    """Return the gates of a domain that must have some.

    Raises:
        OptionError: it has none.
    """
    config = gates_from(info)
    if config is None:
        raise OptionError(f"The domain {domain!r} has no gates: learn it with `gates`.")
    return config


def ungated_px(info: DomainInfo) -> int:
    """Return the size of images with which a domain's gates are all open."""
    config = gates_from(info)
    if config is not None and config.shrinks_images:
        return int(info.gates["full_px"])
    return info.image_px


def scaled_px(px: int, compute: float) -> int:
    """Return the side of images of about this share of the area."""
    side = int(px * math.sqrt(compute) + 1e-9) // STEP_PX * STEP_PX
    return min(px, max(SMALLEST_PX, side))


def share_words(share: float, other: float) -> tuple[str, str]:
    """Write two different shares in per cent, with as many digits as tell them apart."""
    for digits in range(10):
        words = f"{share:.{digits}%}", f"{other:.{digits}%}"
        if words[0] != words[1]:
            break
    return words
