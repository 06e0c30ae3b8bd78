"""Checks that the hyper-parameters of several methods share."""

import math

from addapt._errors import OptionError


def check_counts(method: str, **counts: int) -> None:
    """Refuse numbers below 1.

    Raises:
        OptionError: one of `counts` is; the message has its name.
    """
    for name, count in counts.items():
        if count < 1:
            raise OptionError(f"{method}'s {name} is {count}: give at least 1.")


def check_kernel(method: str, kernel: int) -> None:
    """Refuse the side of a kernel that has no middle.

    Raises:
        OptionError: it is even, or below 1.
    """
    if kernel < 1 or kernel % 2 == 0:
        raise OptionError(f"{method}'s kernel is {kernel}: give an odd number, such as 5.")


def check_positive(method: str, name: str, value: float, example: str) -> None:
    """Refuse what is not a finite number above 0.

    Raises:
        OptionError: the value is not.
    """
    if not 0 < value < math.inf:
        raise OptionError(
            f"{method}'s {name} is {value}: give a number above 0, such as {example}."
        )
