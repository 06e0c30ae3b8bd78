"""One error tree. A message names the thing, the value and the way out.

Every error here is something the user can mend; the command line prints the
message without a traceback and exits with `exit_code`.
"""

import difflib
from collections.abc import Iterable


class AddaptError(Exception):
    """Whatever addapt refuses: a sentence with a remedy."""

    exit_code = 2


class UnknownNameError(AddaptError):
    """A name that does not exist: its `kind`, such as "domain", and those that are `known`.

    `remedy` is an extra sentence, such as where to look.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], remedy: str = "") -> None:
        names = sorted(known)
        nearest = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
        listing = f" Known: {', '.join(names)}." if names else f" There is no {kind} yet."
        super().__init__(f"Unknown {kind} {name!r}.{hint}{listing}{' ' + remedy if remedy else ''}")


class OptionError(AddaptError):
    """An option whose value makes no sense."""


class WeightsError(AddaptError):
    """A weights file that cannot be read or does not fit the backbone."""


class FreezeError(AddaptError):
    """A network that cannot be frozen: not traceable, in training mode, or with broken weights."""


class DataError(AddaptError):
    """An image or a folder of images that cannot be used."""


class DomainError(AddaptError):
    """A domain or its file that cannot be read, written, or used with this backbone."""


class DamagedError(DomainError):
    """A domain's file that is not what was written; another version could not read it either."""


class TrainingError(AddaptError):
    """Learning that cannot go on, such as a loss that is not a number."""


class FleetError(AddaptError):
    """A fleet of devices that cannot learn together, or what one of them sent."""


class MissingPackageError(AddaptError):
    """An optional package that this command needs is not installed."""
