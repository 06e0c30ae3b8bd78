"""A machine's clock, which Flower's messages and signatures are dated by."""

import datetime

from addapt._errors import FleetError

# Flower believes no message that is dated before.
EARLIEST = datetime.datetime(2025, 2, 28, tzinfo=datetime.timezone.utc)


def check_clock() -> None:
    """Refuse a clock that has not been set, as on boards that were without a network.

    Raises:
        FleetError: it is before the oldest date that Flower believes.
    """
    now = datetime.datetime.now(datetime.timezone.utc)
    if now < EARLIEST:
        raise FleetError(
            f"This machine's clock says {now:%Y-%m-%d %H:%M} UTC, and Flower takes no message that "
            f"is dated before {EARLIEST:%Y-%m-%d}: set the clock, for example by `timedatectl "
            "set-ntp true`."
        )
