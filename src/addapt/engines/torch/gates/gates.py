"""What is asked of a gated domain."""

from dataclasses import dataclass
from typing import cast

from addapt._errors import OptionError, UnknownNameError

RESOLUTION, BLOCKS, CHANNELS = UNITS = ("resolution", "blocks", "channels")
# What costs little accuracy, see docs/GATES.md; blocks alone reach less of the compute.
USUAL_COMPUTE = {RESOLUTION: 0.4, BLOCKS: 0.6, CHANNELS: 0.6}


@dataclass(frozen=True)
class Gates:
    """What may be left out, for whom, and how much is to be computed.

    Args:
        unit: "resolution", the images' size; "blocks", whole blocks with an identity shortcut,
            of which the shortcut and the adaptor stay; "channels", parts of the inner channels
            of every block, and such blocks.
        dynamic: decide for each image; else the same is left out for the whole domain.
        compute: the share of the ungated multiply-adds that an image costs on average; by default
            0.4 for "resolution" and 0.6 for the others.
    """

    unit: str = RESOLUTION
    dynamic: bool = False
    compute: float = cast(float, None)

    def __post_init__(self) -> None:
        """Check what is asked.

        Raises:
            UnknownNameError: there is no such unit.
            OptionError: the share is not one.
        """
        if self.unit not in UNITS:
            raise UnknownNameError("gate unit", self.unit, UNITS)
        if self.compute is None:
            object.__setattr__(self, "compute", USUAL_COMPUTE[self.unit])
        if not 0 < self.compute <= 1:
            raise OptionError(
                f"The share of compute is {self.compute}: give a number above 0 and at most 1, "
                "such as 0.6."
            )

    @property
    def kind(self) -> str:
        """Whether it is decided for each image or for all, in a word."""
        return "dynamic" if self.dynamic else "static"
