"""A folder of images, one sub-folder per class: what is in it, and what is wrong with it.

Two layouts: `root/class/...`, or `root/train/class/...` with `root/val/class/...` and
`root/test/class/...` beside it as far as they exist.
"""

import difflib
import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np

from addapt._errors import DataError
from addapt.images.decode import IMAGE_SUFFIXES
from addapt.images.listing import entries, files, is_image, leads_to_folder, subfolders
from addapt.images.samples import Sample, Samples

VAL_NAMES = ("val", "valid", "validation")
SPLIT_NAMES = frozenset({"train", "test", *VAL_NAMES})

# Names that only a split would have; used to notice a split that is spelt another way.
SPLIT_LIKE = SPLIT_NAMES | {"training", "testing", "dev", "eval", "evaluation", "holdout"}

_UNLISTED = {
    errno.EACCES: "Give yourself permission to read everything in it.",
    errno.EPERM: "Give yourself permission to read everything in it.",
    errno.ENOENT: "It vanished in the meantime. Try again when nothing changes the folder.",
    errno.ENOTDIR: "It changed in the meantime. Try again when nothing changes the folder.",
}


@dataclass(frozen=True)
class ImageFolder:
    """What a folder holds: of all `samples`, the first are there to learn from."""

    root: Path
    classes: tuple[str, ...]
    samples: Samples
    train_images: int

    @property
    def train(self) -> Samples:
        """The images to learn from."""
        return self.samples[: self.train_images]

    @property
    def val(self) -> Samples:
        """The images to check on; there are none when the folder has no split of its own."""
        return self.samples[self.train_images :]


def scan_folder(root: Path) -> ImageFolder:
    """Find the classes and images in `root`, to learn from.

    Classes are sorted by name, images by path. Images in nested folders of a class count;
    hidden entries, other files and links to folders do not.

    Raises:
        DataError: nothing can be learnt from this folder as it is.
    """
    with _listing(root):
        folders = _class_folders(root)
        split = _split(folders)
        if split is None:
            _refuse_unknown_split(root, folders)
            val_folder = None
        else:
            folders = _class_folders(split["train"])
            val_folder = _val_folder(root, split)
        classes = tuple(folder.name for folder in folders)
        if len(folders) == 1:
            raise DataError(_only_one_class(folders[0]))
        train = _samples(root, folders, classes)
        images_of = np.bincount(train.labels, minlength=len(classes))
        for label, folder in enumerate(folders):
            if images_of[label] == 0:
                raise DataError(
                    f"The class folder {folder} holds no image.{_other_files(folder)} "
                    "Put images into it, or remove it."
                )
            if images_of[label] == 1 and val_folder is None:
                raise DataError(
                    f"The class folder {folder} holds a single image. At least two are needed: "
                    "one to learn from and one to check on."
                )
        samples = train
        if val_folder is not None:
            samples += _known_samples(root, val_folder, classes)
        return ImageFolder(root, classes, samples, len(train))


def scan_classes(root: Path, classes: Sequence[str]) -> Samples:
    """Find the images in `root` to check on, labelled by their place in `classes`.

    Of a folder that is split, `test` is taken, or else `val`. Classes may be absent.

    Raises:
        DataError: a class folder that is not in `classes`, no image at all, or a split
            without a part to check on.
    """
    with _listing(root):
        return _known_samples(root, _folder_to_check(root, classes), classes)


@contextmanager
def _listing(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        remedy = _UNLISTED.get(error.errno or 0, "Check the disk and the path, and try again.")
        raise DataError(
            f"The folder {root} cannot be searched: {error.filename}: {error.strerror}. {remedy}"
        ) from error


def _folder_to_check(root: Path, classes: Sequence[str]) -> Path:
    folders = _class_folders(root)
    named_like_classes = all(folder.name in classes for folder in folders)
    split = None if named_like_classes else _split(folders)
    if split is None:
        return root
    checked = split.get("test") or _val_folder(root, split)
    if checked is None:
        raise DataError(
            f"The folder {root} has images to learn from (train) but none to check on "
            f"(test or val). Add them, or give {split['train']} itself."
        )
    return checked


def _split(folders: Sequence[Path]) -> dict[str, Path] | None:
    """The folders of a split by name; None where they are classes (one may be called train)."""
    named = {folder.name: folder for folder in folders}
    if "train" in named and SPLIT_NAMES.issuperset(named) and subfolders(named["train"]):
        return named
    return None


def _val_folder(root: Path, split: dict[str, Path]) -> Path | None:
    found = [split[name] for name in VAL_NAMES if name in split]
    if len(found) > 1:
        names = " and ".join(folder.name for folder in found)
        raise DataError(f"The folder {root} has both {names}. Keep one of them.")
    return found[0] if found else None


def _refuse_unknown_split(root: Path, folders: Sequence[Path]) -> None:
    # root/training/cat with root/testing/cat would be learnt as the classes training and testing.
    inside = {folder: {inner.name for inner in subfolders(folder)} for folder in folders}
    for folder in folders:
        if folder.name.lower() not in SPLIT_LIKE:
            continue
        for other in folders:
            shared = sorted(inside[folder] & inside[other])
            if other != folder and len(shared) > 1:
                raise DataError(
                    f"The folder {root} looks split into {folder.name} and {other.name}: both "
                    f"hold {', '.join(shared)}. Name the parts train, val and test, with "
                    "nothing else beside them. If they are classes, rename or flatten them."
                )


def _class_folders(root: Path) -> list[Path]:
    if not root.exists():
        raise DataError(f"The folder {root} does not exist: check the path.")
    if not root.is_dir():
        raise DataError(f"{root} is a file. Give the folder that holds one folder per class.")
    found = list(entries(root))
    folders = [entry for entry in found if leads_to_folder(entry)]
    for entry in folders:
        if entry.is_symlink():
            raise DataError(
                f"{entry.path} is a link to a folder, and those are not followed because they may "
                "run in circles. Put the folder itself here, or remove the link."
            )
    if folders:
        return [Path(entry.path) for entry in folders]
    if any(is_image(entry) for entry in found):
        raise DataError(
            f"The images in {root} have no class. Put them into one folder per class, "
            f"such as {root / 'cat'} and {root / 'dog'}."
        )
    what = "no class folders" if found else "nothing"
    raise DataError(f"The folder {root} holds {what}. It should hold one folder per class.")


def _known_samples(root: Path, part: Path, classes: Sequence[str]) -> Samples:
    folders = _class_folders(part)
    for folder in folders:
        if folder.name not in classes:
            nearest = difflib.get_close_matches(folder.name, classes, n=1)
            hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
            raise DataError(
                f"The class folder {folder} is not one of the known classes.{hint} "
                f"Known: {', '.join(classes)}. Rename or remove the folder."
            )
    samples = _samples(root, folders, classes)
    if not samples:
        raise DataError(f"The class folders in {part} hold no images.{_other_files(part)}")
    return samples


def _samples(root: Path, folders: Sequence[Path], classes: Sequence[str]) -> Samples:
    label_of = {name: label for label, name in enumerate(classes)}
    found = (
        Sample(Path(entry.path), label_of[folder.name])
        for folder in folders
        for entry in files(folder)
        if is_image(entry)
    )
    return Samples.of(found, root)


def _only_one_class(folder: Path) -> str:
    message = f"There is only one class, {folder.name!r}, in {folder.parent}. Learning needs two."
    inner = [path.name for path in subfolders(folder)]
    if len(inner) > 1:
        message += f" Did you mean {folder}, which holds {', '.join(inner[:5])}?"
    return message


def _other_files(folder: Path) -> str:
    found = sorted({PurePath(entry.name).suffix.lower() for entry in files(folder)} - {""})
    if not found:
        return ""
    return (
        f" Its files end in {', '.join(found[:5])}; "
        f"images end in {', '.join(sorted(IMAGE_SUFFIXES))}."
    )
