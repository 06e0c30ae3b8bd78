"""Whether a folder holds classes, or the parts of a split: told by names, and by what repeats.

Nothing is guessed. With the usual names it is a split; folders that may just as well be one are
refused, with both readings.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from addapt._errors import DataError
from addapt._text import natural_order
from addapt.images.listing import entries, is_image, subfolders

TRAIN, VAL, TEST, UNUSED = "train", "val", "test", "unused"
_ROLES = {
    **dict.fromkeys("train training trainval labeled labelled".split(), TRAIN),
    **dict.fromkeys("val valid validation validate dev development".split(), VAL),
    **dict.fromkeys("test testing tests eval evaluation holdout heldout".split(), TEST),
    **dict.fromkeys("unlabeled unlabelled unsup unsupervised extra".split(), UNUSED),
}
_APPENDED = re.compile("(sets?|data|dataset|images?|imgs?|photos|files|split|samples)+$")

# What parts are called when they are numbered, such as fold1 or part_a.
_PART = re.compile(
    "(k?fold|part|partition|split|set|subset|batch|chunk|shard|cv|group)([-_. ]?[0-9]+|[-_. ][a-z])"
)

# As many parts as a split may have; of more folders, parts are hardly called as one likes.
MOST_PARTS = 10
NAMED = 5  # in a message


@dataclass(frozen=True)
class Split:
    """The parts of a split: one to learn from, one to check on; others learning leaves alone."""

    train: Path
    val: Path | None
    left_alone: tuple[str, ...]


def role_of(name: str) -> str | None:
    """Return what a folder of this name is in a split, such as "test" for `Test_Set`, or None."""
    plain = re.sub("[-_. ]", "", name.casefold()).rstrip("0123456789")
    return _ROLES.get(plain) or _ROLES.get(_APPENDED.sub("", plain))


def find_split(root: Path, folders: Sequence[Path]) -> Split | None:
    """Return the parts of a split; None where `folders` are classes (one may be called train).

    Only the part to learn from is looked into.

    Raises:
        DataError: there are several parts to learn from, or to check on.
    """
    parts = _by_role(folders)
    if None in parts or not any(subfolders(folder) for folder in parts.get(TRAIN, ())):
        return None
    train, val = (_only(root, parts.get(role, ())) for role in (TRAIN, VAL))
    assert train is not None
    others = [folder.name for role in (TEST, UNUSED) for folder in parts.get(role, ())]
    return Split(train, val, tuple(sorted(others, key=natural_order)))


def part_to_check(root: Path, folders: Sequence[Path]) -> Path | None:
    """Return the part of a split to check on, `test` before `val`; None where there is no split.

    Raises:
        DataError: there are several of these, or none.
    """
    parts = _by_role(folders)
    if None in parts:
        return None
    checked = _only(root, parts.get(TEST, ())) or _only(root, parts.get(VAL, ()))
    if checked is None:
        raise DataError(
            f"The folder {root} has images to learn from (train) but none to check on "
            f"(test or val). Add them, or give {parts.get(TRAIN, folders)[0]} itself."
        )
    return checked


def _by_role(folders: Sequence[Path]) -> Mapping[str | None, list[Path]]:
    parts: dict[str | None, list[Path]] = {}
    for folder in folders:
        parts.setdefault(role_of(folder.name), []).append(folder)
    return parts


def _only(root: Path, folders: Sequence[Path]) -> Path | None:
    if len(folders) > 1:
        names = " and ".join(folder.name for folder in folders)
        raise DataError(f"The folder {root} has both {names}. Keep one of them.")
    return folders[0] if folders else None


def refuse_likely_split(root: Path, folders: Sequence[Path]) -> list[str]:
    """Refuse folders that may just as well be parts; return what is to be told about others.

    Names of inner folders that repeat are the sign: parts hold the same classes. But so do classes
    whose images are sorted further, such as 200 species with `male` and `female` in each, or
    `cat/day1` and `dog/day1`. Those are taken for classes, which is told: folders that are more
    than a split has parts and than the names that repeat, or inner folders that are numbered.

    Raises:
        DataError: both readings, and what to do about either.
    """
    if len(folders) > 1 and all(role_of(folder.name) for folder in folders):
        raise DataError(
            f"The folder {root} can be read in two ways. Either {_names(folders)} are parts of a "
            "split: then the one to learn from must be called train, and hold one folder per "
            "class. Or they are classes: then give them other names."
        )
    inner = {folder: set(subfolders(folder)) for folder in folders}
    _refuse_parts_in_classes(root, inner)
    _refuse_part_beside_images(root, inner)
    told = []
    in_folders = Counter(name for names in inner.values() for name in names)
    repeated = {name for name, count in in_folders.items() if count > 1}
    sharing = [folder for folder in folders if _shares(folder, inner[folder], repeated)]
    if len(sharing) > 1:
        if any(map(_is_part, sharing)) or (
            2 * len(sharing) >= len(folders)
            and len(folders) <= max(MOST_PARTS, len(repeated))
            and not _numbered(repeated)
            and not any(map(_holds_images, sharing))
        ):
            raise DataError(_two_readings(root, sharing, repeated))
        told.append(
            f"Folders called {_listed(repeated)} lie in several classes of {root}: their images "
            "are taken for images of those classes."
        )
    # A class may well be called train, but hardly test or unlabeled.
    told += (
        f"{folder.name!r} is learned as a class. If it is none, move the folder out of {root}."
        for folder in folders
        if (role := role_of(folder.name)) and (role != TRAIN or len(inner[folder]) > 1)
    )
    return told


def _shares(folder: Path, inner: set[str], repeated: set[str]) -> bool:
    shared = inner & repeated
    return len(shared) > 1 or (shared == inner != set() and _is_part(folder))


def _refuse_parts_in_classes(root: Path, inner: Mapping[Path, set[str]]) -> None:
    for folder, names in inner.items():
        role = {role_of(name): name for name in names}
        if len(names) > 1 and TRAIN in role and None not in role:
            raise DataError(
                f"The folder {folder} can be read in two ways. Either {_listed(names)} are parts "
                "of a split: then put the classes into the parts, such as "
                f"{root / role[TRAIN] / folder.name}. Or all of their images are to be learned "
                f"from: then put them directly into {folder}."
            )


def _refuse_part_beside_images(root: Path, inner: Mapping[Path, set[str]]) -> None:
    parts = [folder for folder in inner if _is_part(folder)]
    if not parts or 2 * len(parts) < len(inner):
        return
    whole = [folder for folder in parts if inner[folder] and not _holds_images(folder)]
    if whole and any(map(_holds_images, inner)):
        raise DataError(_two_readings(root, list(inner), inner[whole[0]]))


def _is_part(folder: Path) -> bool:
    name = folder.name
    return role_of(name) is not None or _PART.fullmatch(name.casefold()) is not None


def _numbered(names: set[str]) -> bool:
    """Whether names differ by numbers alone, such as day1 and day2, or are dates.

    Not if they are numbers and nothing else, or a letter with numbers: classes are called so, too.
    """
    shapes = {re.sub("[0-9]+", "#", name.casefold()) for name in names}
    if len(shapes) != 1:
        return False
    shape = shapes.pop()
    has_word = re.search("[^#]{3}", shape) is not None and not shape.startswith(("class", "label"))
    return "#" in shape and (has_word or shape.count("#") > 1)


def _holds_images(folder: Path) -> bool:
    return any(is_image(entry) for entry in entries(folder))


def _two_readings(root: Path, folders: Sequence[Path], inner: set[str]) -> str:
    outer, names = _names(folders), _listed(inner)
    return (
        f"The folder {root} can be read in two ways, and which is right is not guessed. Either it "
        f"is split into the parts {outer}, of the classes {names}: then call the part to learn "
        "from train, the one to check on val, and others test, with nothing else beside them. Or "
        f"its classes are {outer}: then put their images directly into these folders, out of "
        f"{names}."
    )


def _names(folders: Sequence[Path]) -> str:
    return _listed({folder.name for folder in folders})


def _listed(names: set[str]) -> str:
    """Write names as a list, not all of very many."""
    found = sorted(names, key=natural_order)
    if len(found) > NAMED:
        return f"{', '.join(found[:NAMED])} and {len(found) - NAMED} more"
    return " and ".join(filter(None, (", ".join(found[:-1]), found[-1])))
