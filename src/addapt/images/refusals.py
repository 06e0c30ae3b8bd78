"""Why a file is not read as an image, and what to do about it, in words."""

from pathlib import Path

from PIL import Image, UnidentifiedImageError

from addapt._paths import absent
from addapt.images.kinds import HEIF, KIND_OF_SUFFIX, RAW


def closed(path: Path, kind: str) -> str:
    """Tell of a file of a known kind that cannot be read."""
    is_misnamed = KIND_OF_SUFFIX.get(path.suffix.lower(), kind) != kind
    although = f", although its name ends in {path.suffix}" if is_misnamed else ""
    if kind == HEIF:
        return (
            f"{path} is a HEIC image, as iPhones take them{although}. To read such images: "
            "pip install 'addapt[heic]'. Or save it as JPEG."
        )
    if kind == RAW:
        return (
            f"{path} is a raw file of a camera{although}, and such files cannot be read. Develop "
            "it and save it as JPEG."
        )
    article = "an" if kind in ("AVIF", "OpenEXR", "SVG") else "a"
    remedy = "pip install --upgrade pillow may help. " if kind == "AVIF" else ""
    return (
        f"{path} is {article} {kind} image{although}, which cannot be read here. {remedy}Save it "
        "as JPEG or PNG."
    )


def unread(path: Path, error: Exception, max_pixels: int) -> str:
    """Tell what an error in opening or decoding a file means."""
    if isinstance(error, FileNotFoundError):
        return absent(path, "image")
    if isinstance(error, PermissionError):
        return f"The image {path} may not be read. Give yourself permission to read it."
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return too_large(path, "it declares more pixels", max_pixels)
    if isinstance(error, MemoryError):
        return f"The image {path} does not fit into memory. Scale it down."
    if isinstance(error, UnidentifiedImageError):
        return (
            f"{path} is not an image of a known kind, whatever its name says. "
            "Save it as JPEG or PNG, or remove it."
        )
    return (
        f"The image {path} is damaged, cut off, or of a kind that cannot be read "
        f"({error or type(error).__name__}). Copy it again, save it anew, or remove it."
    )


def too_large(path: Path | str, size: str, limit: int) -> str:
    """Tell of a file or an image beyond a limit."""
    return f"The image {path} is too large: {size}, and {limit:,} are the limit. Scale it down."


def too_large_progressive(path: Path, size: tuple[int, int]) -> str:
    """Tell of a JPEG that cannot be decoded at a fraction of its size."""
    return (
        f"The image {path} is too large: as a progressive JPEG its {size[0]} x {size[1]} pixels "
        "have to be in memory at once. Save it as a JPEG that is not progressive, or scale it down."
    )
