"""HEIF images, such as the HEIC of iPhones, which the extra `heic` reads."""

from functools import cache
from importlib.util import find_spec


@cache
def heif_is_readable() -> bool:
    """Whether the package that reads them is installed; it is not imported for that."""
    return find_spec("pillow_heif") is not None
