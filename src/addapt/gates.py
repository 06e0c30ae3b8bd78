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
    """

    unit: str = RESOLUTION
    dynamic: bool = False
    compute: float = cast(float, None)

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
    config: GateConfig | None, full_px: int, report: GateReport | None
) -> dict[str, Any]:
    """Return what a domain's file says about its gates; nothing without gates."""
    if config is None or report is None:
        return {}
    shares = [list(row) for row in report.open_shares]
    said = dataclasses.asdict(report) | {"open_shares": shares}
    return dataclasses.asdict(config) | {"full_px": full_px, "report": said}


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
    types = {"unit": str, "dynamic": bool, "compute": float}
    full_px, report = info.gates.get("full_px"), info.gates.get("report")
    if (
        any(not isinstance(fields[name], kind) for name, kind in types.items())
        or not (type(full_px) is int and 1 <= full_px <= IMAGE_PX_LIMIT)
        or not (isinstance(report, dict) and isinstance(report.get("compute"), float))
    ):
        raise DomainError(
            f"Its gates are {str(info.gates)[:200]}, which makes no sense. Restore the file from a "
            "copy or learn the domain again."
        )
    return GateConfig(**fields)  # type: ignore[arg-type]


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
