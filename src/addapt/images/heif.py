"""HEIF images, such as the HEIC of iPhones, which the extra `heic` reads."""

from functools import cache
from importlib.util import find_spec


@cache
def heif_is_readable() -> bool:
    """Whether the extra `heic` is installed; nothing of it is imported."""
    return find_spec("pillow_heif") is not None


@cache
def enable_heif() -> None:
    """Let Pillow open HEIF images, of which no more is read than the image itself.

    To be called where there is one, for the import takes longer than reading a small image.
    """
    from pillow_heif import options, register_heif_opener

    # A smaller image that lies beside the image would be another one to learn from.
    options.THUMBNAILS = options.DEPTH_IMAGES = options.AUX_IMAGES = False
    # Images are decoded several at a time already.
    options.DECODE_THREADS = 1
    register_heif_opener()
