"""A folder in which images of all domains and foreign ones lie mixed, and what becomes of them."""

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from addapt._disk import disk_reason
from addapt._errors import DataError
from addapt.demo.foreign import FOREIGN, drawn
from addapt.learning import Learner, Recognition

EACH = 12  # images of each domain
FOREIGN_EACH = 4  # and of each kind that is foreign
FOREIGN_NAME = "foreign"


@dataclass(frozen=True)
class Sorted:
    """An image of the folder: the domain and the class it is of, and what it was taken for."""

    domain: str | None
    label: str | None
    found: Recognition

    @property
    def is_right(self) -> bool:
        """Whether domain and class are right or, of a foreign image, that it is none."""
        return (self.found.domain, self.found.label) == (self.domain, self.label)


@dataclass(frozen=True)
class Row:
    """What became of the images of one domain, or of the foreign ones.

    `went_to` counts them by domain, None for none of these; of `right` ones the class is, too.
    """

    name: str
    images: int
    went_to: dict[str | None, int]
    right: int


def sort_mixed(learner: Learner, folder: Path, images: Mapping[str, Path]) -> list[Sorted]:
    """Put test images of all domains and foreign ones into a folder, and recognise what is in it.

    Args:
        learner: has learned the domains.
        folder: gets the images; `addapt predict` may be tried with it.
        images: of each domain, with test/CLASS/* inside.

    Raises:
        DataError: the disk refused.
    """
    try:
        files = _mix(folder, images)
    except OSError as error:
        raise DataError(
            f"The mixed images could not be written to {folder} because {disk_reason(error)}"
        ) from error
    found = learner.recognise(list(files))
    return [
        Sorted(domain, label, one)
        for (domain, label), one in zip(files.values(), found, strict=True)
    ]


def went_where(images: Sequence[Sorted]) -> list[Row]:
    """Count where images went, domain by domain, the foreign ones last."""
    rows = []
    for name in dict.fromkeys(image.domain for image in images):
        own = [image for image in images if image.domain == name]
        went_to = Counter(image.found.domain for image in own)
        right = sum(image.is_right for image in own)
        rows.append(Row(name or FOREIGN_NAME, len(own), dict(went_to), right))
    return rows


def _mix(folder: Path, images: Mapping[str, Path]) -> dict[Path, tuple[str | None, str | None]]:
    """Write the images; return the domain and the class of each."""
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[Path, tuple[str | None, str | None]] = {}
    for name, where in images.items():
        paths = sorted(where.glob("test/*/*"))
        places = np.linspace(0, len(paths) - 1, min(EACH, len(paths))).astype(int).tolist()
        for number, place in enumerate(places, 1):
            path = paths[place]
            copy = folder / f"{name}-{number:02}{path.suffix}"
            shutil.copyfile(path, copy)
            files[copy] = (name, path.parent.name)
    for kind in FOREIGN:
        for number, pixels in enumerate(drawn(kind, FOREIGN_EACH), 1):
            path = folder / f"{FOREIGN_NAME}-{kind}-{number:02}.png"
            Image.fromarray(pixels).save(path)
            files[path] = (None, None)
    return files
