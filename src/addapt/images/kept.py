"""Where decoded images are kept: the first in memory, the others in one file on disk."""

import tempfile
import threading
import weakref
import zlib
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from addapt._disk import disk_reason, require_space

Pixels = npt.NDArray[np.uint8]

_OTHERWISE = "are decoded anew each time, which takes longer and changes nothing else."


class ScratchFile:
    """A temporary file of equal pieces, made when the first is written, gone with the process.

    It is read piece by piece, and not mapped into memory, where it would count as the process's.
    What the disk refuses is left out, or found missing when it is read; `warning` then says why.

    Args:
        folder: where it lies, best on a real disk; it has no name there if the system can do that.
        prefix: its name begins so where it has one, and goes on as those that `tempfile` gives.
        leave_free_bytes: of the disk, for what else is to be written.
    """

    def __init__(self, folder: Path, prefix: str = ".addapt.", leave_free_bytes: int = 0) -> None:
        self.folder, self.prefix, self.leave_free_bytes = folder, prefix, leave_free_bytes
        self.warning: str | None = None
        self._file: IO[bytes] | None = None
        self._pieces = 0
        self._lock = threading.Lock()  # from going to a place in the file until it is read

    def write(self, place: int, piece: Pixels) -> None:
        """Put a piece of contiguous bytes into its place, unless an earlier one was refused.

        Places come in rising order; those left out are never read.
        """
        if self.warning is not None:
            return
        try:
            require_space(self.folder, self.leave_free_bytes + piece.nbytes)
            file = self._file or self._open()
        except OSError as error:
            self._warn_unwritten(error)
            return
        try:
            file.seek(place * piece.nbytes)
            rest = piece.data.cast("B")
            while rest:
                rest = rest[file.write(rest) :]
            self._pieces = place + 1
        except OSError as error:
            self._warn_unwritten(error)
            self._give_back(file, piece.nbytes)

    def read(self, place: int, into: Pixels, crc32: int) -> bool:
        """Read a piece into contiguous memory; False if it is not there as it was written."""
        if self._file is None or place >= self._pieces:
            return False
        try:
            with self._lock:
                self._file.seek(place * into.nbytes)
                rest = into.data.cast("B")
                # The file is not buffered, and may give less than is asked for.
                while rest and (count := self._file.readinto(rest)):  # type: ignore[attr-defined]
                    rest = rest[count:]
            if not rest and zlib.crc32(into.data) == crc32:
                return True
            reason = "what came back was damaged: check the disk."
        except OSError as error:
            reason = disk_reason(error)
        if self.warning is None:
            self.warning = (
                f"Decoded images were put aside in {self.folder}, but not all could be read again "
                f"because {reason} These {_OTHERWISE}"
            )
        return False

    def _open(self) -> IO[bytes]:
        self._file = file = tempfile.TemporaryFile(
            buffering=0, suffix=".tmp", prefix=self.prefix, dir=str(self.folder)
        )
        weakref.finalize(self, file.close)
        return file

    def _warn_unwritten(self, error: OSError) -> None:
        self.warning = (
            f"Not all decoded images could be put aside in {self.folder} because "
            f"{disk_reason(error)} The others {_OTHERWISE}"
        )

    def _give_back(self, file: IO[bytes], piece_bytes: int) -> None:
        """Make the room that should be left: the system may count free space that is not ours."""
        left_bytes = self._pieces * piece_bytes - self.leave_free_bytes
        self._pieces = max(0, left_bytes // piece_bytes)
        with suppress(OSError):
            file.truncate(self._pieces * piece_bytes)


class KeptImages:
    """Decoded images, by number: the first ones in `memory`, (images, px, px, 3), the others aside.

    What is in neither is not kept.
    """

    def __init__(self, memory: Pixels, aside: ScratchFile | None = None) -> None:
        self.px = memory.shape[1]
        self._memory, self._aside = memory, aside

    @property
    def warning(self) -> str | None:
        """What kept images from being kept, in words."""
        return None if self._aside is None else self._aside.warning

    def keep(self, number: int, pixels: Pixels) -> None:
        """Keep an image if there is room; numbers come in rising order."""
        if number < len(self._memory):
            self._memory[number] = pixels
        elif self._aside is not None:
            self._aside.write(number - len(self._memory), pixels)

    def read(self, number: int, into: Pixels, crc32: int) -> bool:
        """Copy an image that was given to `keep`; False if it is to be decoded anew."""
        if number < len(self._memory):
            into[...] = self._memory[number]
            return True
        return self._aside is not None and self._aside.read(number - len(self._memory), into, crc32)
