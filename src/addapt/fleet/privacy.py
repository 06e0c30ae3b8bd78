"""Differential privacy of a fleet: how much of it, as Flower's wrapper is told."""

import math
from dataclasses import dataclass

from addapt._errors import OptionError


@dataclass(frozen=True)
class Privacy:
    """Noise that hides from those who get the domain what one device has contributed.

    Args:
        clipping_norm: how far a device may move what all have learned in a round, the Euclidean
            length of its update.
        noise_multiplier: standard deviation of the noise on the sum of all updates, in clipping
            norms.

    *Source:* McMahan et al., "Learning Differentially Private Recurrent Language Models",
    ICLR 2018.
    """

    clipping_norm: float
    noise_multiplier: float

    @classmethod
    def of(
        cls, clipping_norm: float, noise_multiplier: float, strategy: str, min_devices: int
    ) -> "Privacy | None":
        """Return what was asked for: None for none, which both numbers say as 0.

        Raises:
            OptionError: it makes no sense.
        """
        if clipping_norm == noise_multiplier == 0:
            return None
        for name, value in (
            ("clipping_norm", clipping_norm),
            ("noise_multiplier", noise_multiplier),
        ):
            if not 0 < value < math.inf:
                raise OptionError(
                    f"`{name}` is {value:g}: differential privacy needs both `clipping_norm` and "
                    "`noise_multiplier` above 0, such as 1."
                )
        if strategy == "fedadam":
            raise OptionError(
                "`strategy` is 'fedadam', whose steps are as long with clipped updates: for "
                "differential privacy give fedavg or fedprox."
            )
        if min_devices < 2:
            raise OptionError(
                f"`min_devices` is {min_devices}: one device cannot hide among others."
            )
        return cls(clipping_norm, noise_multiplier)
