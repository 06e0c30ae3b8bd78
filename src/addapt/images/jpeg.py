"""JPEG files, which may be decoded at a fraction of their size, however large that is."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.JpegImagePlugin import JpegImageFile


def open_jpeg(file: IO[bytes]) -> JpegImageFile:
    """Open a JPEG, or the first of several in one file, which reads its header.

    Pillow's own limit of pixels does not apply: it counts those that will not be decoded, too.

    Raises:
        SyntaxError: it is damaged.
    """
    from PIL.JpegImagePlugin import JpegImageFile

    file.seek(0)
    return JpegImageFile(file)


def coefficient_bytes(image: JpegImageFile, file: IO[bytes]) -> int:
    """Return what the decoder keeps of an image that was just opened, at whatever size it decodes.

    If several scans make up the image, as in a progressive JPEG, these are all the coefficients of
    its full size, 2 bytes each; else none.
    """
    if "progressive" not in image.info and _all_in_one_scan(len(image.layer), file):
        return 0
    width, height = image.size
    _, across, down, _ = zip(*image.layer, strict=True)
    share: int = sum(x * y for x, y in zip(across, down, strict=True))
    whole: int = max(across) * max(down)
    return 2 * width * height * share // whole


def _all_in_one_scan(parts: int, file: IO[bytes]) -> bool:
    """Whether the header that was just read ends with a scan of all the colours."""
    length = 6 + 2 * parts
    file.seek(-2 - length, 1)
    return file.read(5) == bytes((0xFF, 0xDA, 0, length, parts))
