"""Files that a command draws after its work: what they may be called, and how they are written."""

import io
import os
import warnings
from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from addapt._disk import disk_reason, write_atomically
from addapt._errors import MissingPackageError, OptionError

FORMATS = (".png", ".svg", ".pdf")
DPI = 120
MAX_SIDE_PX = 6000  # what the drawing of hundreds of classes takes in memory is bounded by this


def check_place(path: Path, endings: Collection[str]) -> None:
    """Refuse before any work a file that could not be written after it; one there is replaced.

    Raises:
        OptionError: `path` has none of the `endings`, or no folder, or is one, or may not be made.
    """
    if path.suffix.lower() not in endings:
        raise OptionError(f"The file {path} must end in one of {', '.join(endings)}.")
    if not path.parent.is_dir():
        raise OptionError(f"The folder of the file {path} does not exist: make it first.")
    if path.is_dir():
        raise OptionError(f"{path} is a folder. Give the name of a file to write.")
    if not os.access(path.parent, os.W_OK):
        raise OptionError(f"The folder of the file {path} may not be written: choose another.")


def check_chart(path: Path) -> None:
    """Refuse before any work a chart that could not be drawn after it.

    Raises:
        MissingPackageError: matplotlib is not installed.
        OptionError: as `check_place`.
    """
    if find_spec("matplotlib") is None:
        raise MissingPackageError(
            "Drawing needs matplotlib, which is not installed: pip install 'addapt[plot]'."
        )
    check_place(path, FORMATS)


def write_chart(figure: Any, path: Path) -> None:
    """Write a figure of matplotlib, in as many pixels as its size allows.

    Raises:
        OptionError: the disk refused.
    """
    drawing = io.BytesIO()
    dpi = min(DPI, MAX_SIDE_PX / max(figure.get_size_inches()))
    with warnings.catch_warnings():
        # Names of classes may be in a script that the font lacks: boxes stand for it.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(drawing, format=path.suffix.lower().removeprefix("."), dpi=dpi)
    write_file(path, drawing.getvalue())


def write_file(path: Path, content: bytes) -> None:
    """Write a whole file, or leave what was there.

    Raises:
        OptionError: the disk refused.
    """
    try:
        write_atomically(path, content)
    except OSError as error:
        raise OptionError(f"{path} could not be written because {disk_reason(error)}") from error
