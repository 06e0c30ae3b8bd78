"""What lies among images and is not used, counted, so that nothing is left out in silence."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath

from addapt._errors import DataError
from addapt.images.image_set import MAX_UNREADABLE_SHARE
from addapt.images.kinds import HEIF, KIND_OF_SUFFIX
from addapt.images.listing import Entry, is_readable

# Beside kinds of images, such as "HEIF", and endings of other files, such as ".txt".
LINK = "link"
BROKEN_LINK = "broken link"
NO_CLASS = "no class"
NO_ENDING = "no ending"
_IN_WORDS = {
    LINK: ("link to a folder that is read already", "links to folders that are read already"),
    BROKEN_LINK: ("link that leads nowhere", "links that lead nowhere"),
    NO_CLASS: ("image outside the class folders", "images outside the class folders"),
    NO_ENDING: ("file without an ending", "files without an ending"),
}


@dataclass
class PassedOver:
    """How much of each kind is not used: `counts`.

    `lost` are those of its images that cannot be read and have no readable one of the same name
    beside them; `first` is one of them of each kind.
    """

    counts: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def add_file(self, entry: Entry) -> None:
        """Count a file that is no image."""
        if entry.is_broken_link():
            self.counts[BROKEN_LINK] += 1
            self.first.setdefault(BROKEN_LINK, entry.path)
        else:
            self.counts[entry.suffix or NO_ENDING] += 1

    def add_class(
        self, folder: PurePath, found: int, unreadable: Iterable[tuple[str, str]]
    ) -> None:
        """Count the images of a class that are of kinds that cannot be read.

        Args:
            folder: of the class.
            found: images of it that are used.
            unreadable: kind and path of each that is not.

        Raises:
            DataError: the class would lose more than `MAX_UNREADABLE_SHARE` of its images.
        """
        lost = Counter[str]()
        for kind, path in _without_twins(unreadable, self.counts):
            lost[kind] += 1
            self.first.setdefault(kind, path)
        if lost.total() > MAX_UNREADABLE_SHARE * (found + lost.total()):
            raise DataError(
                f"{lost.total()} of the {found + lost.total()} images in the class folder {folder} "
                f"are of kinds that cannot be read, which is more than {MAX_UNREADABLE_SHARE:.0%}: "
                f"{in_words(lost)}. The first: {self.first[next(iter(lost))]}. {_remedy(lost)}"
            )
        self.lost += lost

    @property
    def warnings(self) -> tuple[str, ...]:
        """Which images are missing that may have been meant to be there, and the way out."""
        found = []
        if self.lost:
            found.append(
                f"{in_words(self.lost)} cannot be read and "
                f"{'is' if self.lost.total() == 1 else 'are'} left out. "
                f"The first: {self.first[next(iter(self.lost))]}. {_remedy(self.lost)}"
            )
        if broken := self.counts[BROKEN_LINK]:
            found.append(
                f"There {'is' if broken == 1 else 'are'} {broken} {_named(BROKEN_LINK, broken)}. "
                f"The first: {self.first[BROKEN_LINK]}. Mend or remove it."
            )
        return tuple(found)


def _without_twins(
    unreadable: Iterable[tuple[str, str]], counts: Counter[str]
) -> Iterable[tuple[str, str]]:
    """Count all, and yield those beside which no readable image has the same name.

    Cameras write such pairs.
    """
    by_folder = defaultdict(list)
    for kind, path in unreadable:
        counts[kind] += 1
        by_folder[os.path.dirname(path)].append((kind, path))  # noqa: PTH120 - faster
    for folder, found in by_folder.items():
        others = map(PurePath, os.listdir(folder))  # noqa: PTH208 - names are enough
        stems = {
            name.stem.lower()
            for name in others
            if is_readable(KIND_OF_SUFFIX.get(name.suffix.lower()))
        }
        yield from (pair for pair in found if PurePath(pair[1]).stem.lower() not in stems)


def in_words(counts: Mapping[str, int]) -> str:
    """Write what was counted as a list, such as "32 HEIF images, 3 .txt files"."""
    return ", ".join(f"{count} {_named(what, count)}" for what, count in counts.items())


def _named(what: str, count: int) -> str:
    if what in _IN_WORDS:
        return _IN_WORDS[what][count != 1]
    return f"{what} {'file' if what.startswith('.') else 'image'}{'s' * (count != 1)}"


def _remedy(kinds: Iterable[str]) -> str:
    if HEIF in kinds:
        return (
            "HEIF, such as the HEIC of iPhones, is read after pip install 'addapt[heic]'; or save "
            "them as JPEG or PNG."
        )
    return "Save them as JPEG or PNG."
