"""Amounts of memory as people write them: 512MB, 1.5 GiB."""

import re
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal

from addapt._errors import OptionError

UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
UNIT_BYTES = {unit.lower(): size for unit, size in UNITS.items()}
AMOUNT = re.compile(r"(-?[0-9]+(?:\.[0-9]+)?)\s*([a-z]*)", re.IGNORECASE)


def parse_bytes(text: str) -> int:
    """Return the bytes in an amount such as "512MB", "1.5 GB" or "256 MiB".

    kB, MB and GB count in thousands; KiB, MiB and GiB in 1024s; capitals do not matter.

    Raises:
        OptionError: where there is no unit, or no positive number.
    """
    match = AMOUNT.fullmatch(text.strip())
    if match is None:
        raise OptionError(
            f"{text!r} is not an amount of memory. Write a number and a unit, such as 512MB."
        )
    number, unit = match[1], match[2]
    if not unit:
        raise OptionError(f"{text!r} has no unit. Write {number}MB if megabytes are meant.")
    size = UNIT_BYTES.get(unit.lower())
    if size is None:
        raise OptionError(
            f"{unit!r} in {text!r} is not a unit of memory. Use one of {', '.join(UNITS)}."
        )
    amount = int(Decimal(number) * size)
    if amount <= 0:
        raise OptionError(
            f"{text!r} is not a positive amount of memory. Write one above zero, such as 512MB."
        )
    return amount


def format_bytes(count: int, *, round_up: bool = False) -> str:
    """Return an amount in words, to three digits: "12.8 MB".

    Args:
        count: bytes.
        round_up: never name less than `count`, so that the answer will do as a budget.
    """
    rounding = ROUND_CEILING if round_up else ROUND_HALF_EVEN
    for unit in ("B", "kB", "MB", "GB"):
        amount = Decimal(count) / UNITS[unit]
        digits = max(0, 2 - max(0, amount.adjusted())) if unit != "B" else 0
        amount = amount.quantize(Decimal(1).scaleb(-digits), rounding)
        if abs(amount) < 1000:
            break
    return f"{amount.normalize():f} {unit}"
