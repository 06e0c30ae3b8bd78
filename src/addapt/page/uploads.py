"""Images that browsers send to be learned from: class folders in the store, within bounds."""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from addapt._disk import CHUNK_BYTES, make_folder, stream_atomically
from addapt._errors import DataError
from addapt.domains import check_name
from addapt.images.decode import read_size
from addapt.images.links import is_visible

UPLOADS_FOLDER = ".uploads"
MOST_FILE_BYTES = 50_000_000
MOST_BYTES = 2_000_000_000  # of all images together
MOST_IMAGES = 20_000  # of a domain
LABEL_BYTES = 255

Read = Callable[[int], bytes]


class Uploads:
    """Keeps the images of a domain until it is learned: store/.uploads/NAME/LABEL/00001.image."""

    def __init__(self, store: Path) -> None:
        self._folder = store / UPLOADS_FOLDER
        self._lock = threading.Lock()
        self._bytes = _bytes_in(self._folder)

    def folder(self, name: str) -> Path:
        """Return where the images of a domain are, or would be.

        Raises:
            DomainError: no domain can be called so.
        """
        return self._folder / check_name(name)

    def count(self, name: str) -> int:
        """Return how many images of a domain have arrived."""
        return sum(1 for _ in self.folder(name).glob("*/*.image"))

    def add(self, name: str, label: str, number: int, size_bytes: int, read: Read) -> None:
        """Keep one image, whole or not at all, over one of the same number.

        Args:
            name: of the domain.
            label: of the class.
            number: of the image, from 0 on.
            size_bytes: of the file.
            read: gives so many bytes of it at most.

        Raises:
            DataError: it is no image, or beyond a bound, or the class cannot be called so.
            DomainError: no domain can be called so.
            OSError: the disk refused.
        """
        check_label(label)
        if not 0 <= number < MOST_IMAGES:
            raise DataError(f"Image number {number}: at most {MOST_IMAGES} are taken for a domain.")
        if not 0 < size_bytes <= MOST_FILE_BYTES:
            raise DataError(f"An image of {size_bytes} bytes: 1 to {MOST_FILE_BYTES} are taken.")
        path = self.folder(name) / label / f"{number:05}.image"
        with self._lock:
            if self._bytes + size_bytes > MOST_BYTES:
                raise DataError(
                    f"All images that wait to be learned would take more than {MOST_BYTES} bytes: "
                    "give fewer, or finish what was begun."
                )
            self._bytes += size_bytes
        try:
            make_folder(path.parent)
            stream_atomically(path, _parts(read, size_bytes), size_bytes)
            read_size(path)
        except BaseException as error:
            with suppress(OSError):
                path.unlink(missing_ok=True)
            with self._lock:
                self._bytes -= size_bytes
            if isinstance(error, DataError):
                raise DataError(str(error).replace(str(path), f"{label}/{number}")) from None
            raise

    def remove(self, name: str) -> None:
        """Delete the images of a domain, if there are any.

        Raises:
            DomainError: no domain can be called so.
            OSError: the disk refused.
        """
        with suppress(FileNotFoundError):
            shutil.rmtree(self.folder(name))
        with self._lock:
            self._bytes = _bytes_in(self._folder)


def check_label(label: str) -> None:
    """Refuse a class that no folder of images could be called.

    Raises:
        DataError: that is so.
    """
    is_long = len(label.encode(errors="replace")) > LABEL_BYTES
    if not label.strip() or is_long or not is_visible(label) or set(label) & set("/\\\0"):
        raise DataError(
            f"A class cannot be called {label[:80]!r}: give a name of at most {LABEL_BYTES} bytes "
            "that does not begin with '.', and has no '/' or '\\' in it."
        )


def _parts(read: Read, size_bytes: int) -> Iterator[bytes]:
    left = size_bytes
    while left:
        part = read(min(left, CHUNK_BYTES))
        if not part:
            raise DataError(f"The image broke off, {left} bytes before its end: send it again.")
        left -= len(part)
        yield part


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*.image"):
        with suppress(FileNotFoundError):  # it was refused meanwhile
            total += path.stat().st_size
    return total
