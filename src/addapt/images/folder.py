"""A folder of images, one sub-folder per class: what is in it, and what is wrong with it.

Two layouts: `root/class/...`, or `root/train/class/...` with `root/val/class/...` and
`root/test/class/...` beside it as far as they exist; `parts` tells them apart.
"""

import difflib
import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from addapt._errors import DataError
from addapt._paths import absent
from addapt._text import natural_order
from addapt.images.links import Links
from addapt.images.listing import (
    entries,
    files,
    image_kind,
    is_image,
    is_readable,
    leads_to_folder,
    subfolders,
)
from addapt.images.parts import find_split, part_to_check, refuse_likely_split
from addapt.images.passed_over import LINK, NO_CLASS, PassedOver
from addapt.images.samples import Sample, Samples

_UNLISTED = {
    errno.EACCES: "Give yourself permission to read everything in it.",
    errno.EPERM: "Give yourself permission to read everything in it.",
    errno.ENOENT: "It vanished in the meantime. Try again when nothing changes the folder.",
    errno.ENOTDIR: "It changed in the meantime. Try again when nothing changes the folder.",
}


@dataclass(frozen=True)
class ImageFolder:
    """What a folder holds: of all `samples`, the first are there to learn from.

    `left_alone` are parts that learning does not use, `warnings` what to look at.
    """

    root: Path
    classes: tuple[str, ...]
    samples: Samples
    train_images: int
    passed_over: PassedOver
    left_alone: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def train(self) -> Samples:
        """The images to learn from."""
        return self.samples[: self.train_images]

    @property
    def val(self) -> Samples:
        """The images to check on; there are none when the folder has no split of its own."""
        return self.samples[self.train_images :]


def scan_folder(root: Path, *, fewest_classes: int = 2) -> ImageFolder:
    """Find the classes and images in `root`, to learn from.

    Classes are sorted by name, images by path. Images in nested folders of a class count, and those
    of folders that links lead to, each folder once. Hidden entries do not count; other files, and
    images that cannot be read, are counted as passed over. Of a split, only `train` and `val` are
    looked into. A device of a fleet may have fewer classes than learning needs.

    Raises:
        DataError: nothing can be learnt from this folder as it is.
    """
    with _listing(root):
        folders = _folders(root)
        split = find_split(root, folders)
        if split is None:
            search = _Search(root, [root])
            folders = search.class_folders(root)
        else:
            search = _Search(root, [part for part in (split.train, split.val) if part])
            folders = search.class_folders(split.train)
        if len(folders) == 1 < fewest_classes:
            raise DataError(_only_one_class(folders[0]))
        told = refuse_likely_split(root, folders) if split is None else []
        classes = tuple(folder.name for folder in folders)
        samples = train = search.samples(folders, classes)
        images_of = np.bincount(train.labels, minlength=len(classes))
        for label, folder in enumerate(folders):
            if images_of[label] == 0:
                raise DataError(
                    f"The class folder {folder} holds no image.{_other_files(folder)} "
                    "Put images into it, or remove it."
                )
            if images_of[label] == 1 and (split is None or split.val is None):
                raise DataError(
                    f"The class folder {folder} holds a single image. At least two are needed: "
                    "one to learn from and one to check on."
                )
        if split is not None and split.val is not None:
            samples += search.known_samples(split.val, classes)
        left_alone = () if split is None else split.left_alone
        return search.found(classes, samples, len(train), left_alone, told)


def images_in(folder: Path) -> Iterator[Path]:
    """Yield the images in a folder and the folders in it, sorted by path.

    Those that cannot be read are among them, for reading them will say so; but not the raw files
    that cameras write beside JPEGs.

    Raises:
        DataError: a folder cannot be listed, or lies too deep.
    """
    with _listing(folder):
        for entry in files(folder):
            kind, path = image_kind(entry), Path(entry.path)
            if kind is not None and (is_readable(kind) or not _has_twin(path)):
                yield path


def _has_twin(path: Path) -> bool:
    return any(path.with_suffix(suffix).exists() for suffix in (".jpg", ".JPG", ".jpeg", ".JPEG"))


def scan_classes(root: Path, classes: Sequence[str]) -> ImageFolder:
    """Find the images in `root` to check on, labelled by their place in `classes`.

    Of a folder that is split, `test` is taken, or else `val`. Classes may be absent.

    Raises:
        DataError: a class folder that is not in `classes`, no image at all, or a split
            without a part to check on.
    """
    with _listing(root):
        folders = _folders(root)
        part = None
        if not all(folder.name in classes for folder in folders):
            part = part_to_check(root, folders)
        part = part or root
        search = _Search(root, [part])
        samples = search.known_samples(part, classes)
        return search.found(tuple(classes), samples, 0)


@contextmanager
def _listing(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        remedy = _UNLISTED.get(error.errno or 0, "Check the disk and the path, and try again.")
        raise DataError(
            f"The folder {root} cannot be searched: {error.filename}: {error.strerror}. {remedy}"
        ) from error


class _Search:
    """Goes through the `parts` of the folder `root` that are used."""

    def __init__(self, root: Path, parts: Sequence[Path]) -> None:
        self.root = root
        self.passed_over = PassedOver()
        self._links = Links(*parts)

    def class_folders(self, part: Path) -> list[Path]:
        """Return the class folders in a part; what lies beside them is passed over."""
        _folders(part)  # says what is wrong where there are none
        found = []
        for entry in entries(part):
            if not leads_to_folder(entry):
                if is_image(entry):
                    self.passed_over.counts[NO_CLASS] += 1
                else:
                    self.passed_over.add_file(entry)
            elif self._links.may_enter(entry.path, is_link=entry.is_symlink()):
                found.append(Path(entry.path))
        if not found:
            raise DataError(
                f"The folder {part} holds nothing but links to folders around it. It should hold "
                "one folder per class."
            )
        return found

    def known_samples(self, part: Path, classes: Sequence[str]) -> Samples:
        """Return the images in a part, whose folders have to be of known classes."""
        folders = self.class_folders(part)
        for folder in folders:
            if folder.name not in classes:
                nearest = difflib.get_close_matches(folder.name, classes, n=1)
                hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
                known = ", ".join(sorted(classes, key=natural_order))
                raise DataError(
                    f"The class folder {folder} is not one of the known classes.{hint} "
                    f"Known: {known}. Rename or remove the folder."
                )
        samples = self.samples(folders, classes)
        if not samples:
            raise DataError(f"The class folders in {part} hold no images.{_other_files(part)}")
        return samples

    def samples(self, folders: Sequence[Path], classes: Sequence[str]) -> Samples:
        """Return the images in class folders that can be read."""
        label_of = {name: label for label, name in enumerate(classes)}
        found = (
            Sample(Path(path), label_of[folder.name])
            for folder in folders
            for path in self._images(folder)
        )
        return Samples.of(found, self.root)

    def _images(self, folder: Path) -> Iterator[str]:
        images, unreadable = 0, []
        for entry in files(folder, self._links):
            kind = image_kind(entry)
            if kind is None:
                self.passed_over.add_file(entry)
            elif is_readable(kind):
                images += 1
                yield entry.path
            else:
                unreadable.append((kind, entry.path))
        self.passed_over.add_class(folder, images, unreadable)

    def found(
        self,
        classes: tuple[str, ...],
        samples: Samples,
        train_images: int,
        left_alone: tuple[str, ...] = (),
        warnings: Sequence[str] = (),
    ) -> ImageFolder:
        """Return what the search has found, with what was passed over."""
        passed_over = self.passed_over
        if self._links.passed_over:
            passed_over.counts[LINK] = len(self._links.passed_over)
        return ImageFolder(
            self.root,
            classes,
            samples,
            train_images,
            passed_over,
            left_alone,
            (*passed_over.warnings, *warnings),
        )


def _folders(root: Path) -> list[Path]:
    if not root.exists():
        raise DataError(absent(root, "folder"))
    if not root.is_dir():
        raise DataError(f"{root} is a file. Give the folder that holds one folder per class.")
    found = list(entries(root))
    folders = [Path(entry.path) for entry in found if leads_to_folder(entry)]
    if folders:
        return folders
    if any(is_image(entry) for entry in found):
        raise DataError(
            f"The images in {root} have no class. Put them into one folder per class, "
            f"such as {root / 'cat'} and {root / 'dog'}."
        )
    what = "no class folders" if found else "nothing"
    raise DataError(f"The folder {root} holds {what}. It should hold one folder per class.")


def _only_one_class(folder: Path) -> str:
    message = f"There is only one class, {folder.name!r}, in {folder.parent}. Learning needs two."
    inner = subfolders(folder)
    if len(inner) > 1:
        message += f" Did you mean {folder}, which holds {', '.join(inner[:5])}?"
    return message


def _other_files(folder: Path) -> str:
    found = sorted({entry.suffix for entry in files(folder)} - {""})
    return f" Its files end in {', '.join(found[:5])}." if found else ""
