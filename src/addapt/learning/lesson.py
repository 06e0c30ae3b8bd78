"""From a folder to what a run needs: images decoded, split, and recognisable later."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from addapt._errors import DataError, DomainError, OptionError
from addapt.domains import check_classes
from addapt.domains.info import IMAGE_PX_LIMIT
from addapt.engines.base import Engine
from addapt.gates import GateConfig
from addapt.images import (
    ImageFolder,
    ImageSet,
    ScratchFile,
    SeenImages,
    ValueRange,
    auto_image_px,
    find_value_range,
    load_images,
    scan_folder,
    split_validation,
)
from addapt.learning.controls import Controls
from addapt.learning.copies import sort_out_copies, warn_of_near_copies
from addapt.learning.gating import static_px

MIN_IMAGE_PX = 32
MAX_IMAGE_PX = IMAGE_PX_LIMIT


@dataclass(frozen=True)
class Lesson:
    """The images of one run. `fingerprint` tells them from any others without reading them.

    `full_px` is the size without gates; static gates of resolution make `image_px` smaller.
    `value_range` becomes 0..255 of grey values deeper than 8 bits.
    """

    classes: tuple[str, ...]
    train: ImageSet
    val: ImageSet
    image_px: int
    full_px: int
    fingerprint: str
    unreadable: tuple[str, ...]
    value_range: ValueRange = ()
    copies: int = 0
    copy_warnings: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What did not go as it should, or makes the accuracy say less than it seems to."""
        return (*self.copy_warnings, *((self.train.warning,) if self.train.warning else ()))


@dataclass(frozen=True)
class FoundImages:
    """The image files of a folder and the size they will get; none is decoded yet.

    `val_fraction` is the share to hold out where the folder has no split of its own.
    """

    contents: ImageFolder
    image_px: int
    full_px: int
    val_fraction: float


def refuse_store_inside(store: Path, folder: Path) -> None:
    """Raise an OptionError if a store lies inside a folder of images."""
    # Not Path.resolve: it fails on links in circles, of which scanning has better words to say.
    place, images = (Path(os.path.realpath(path)) for path in (store, folder))
    if place.is_relative_to(images):
        raise OptionError(
            f"The store {store} lies inside the folder of images {folder}, where it would be "
            "taken for a class. Give another one with `store`."
        )


def check_image_px(image_px: int) -> None:
    """Raise an OptionError if no images of this side can be learned from."""
    if not MIN_IMAGE_PX <= image_px <= MAX_IMAGE_PX:
        raise OptionError(f"`image_px` is {image_px}: give {MIN_IMAGE_PX} to {MAX_IMAGE_PX}.")


def find_images(
    folder: Path,
    engine: Engine,
    *,
    image_px: int | None,
    val_fraction: float,
    gates: GateConfig | None,
) -> FoundImages:
    """Scan `folder`, and read headers where the size is left open.

    Raises:
        DataError: the folder cannot be learned from.
        OptionError: the size or the fraction makes no sense.
    """
    if image_px is not None:
        check_image_px(image_px)
    if not 0 < val_fraction < 1:
        raise OptionError(f"`val_fraction` is {val_fraction}: give a number between 0 and 1.")
    contents = scan_folder(folder)
    try:
        check_classes(contents.classes)  # before the work, not after it
    except DomainError as error:
        raise DataError(f"The folder {folder} cannot be learned from. {error}") from error
    full_px = image_px or auto_image_px(contents.train, engine.backbone.input.px)
    smaller_px = full_px
    if gates is not None and gates.shrinks_images:
        smaller_px = static_px(engine, full_px, gates.compute)
    return FoundImages(contents, smaller_px, full_px, val_fraction)


def prepare_lesson(
    found: FoundImages,
    engine: Engine,
    seed: int,
    controls: Controls,
    aside: ScratchFile | None = None,
    value_range: ValueRange | None = None,
) -> Lesson:
    """Decode everything and hold out validation images unless the folder has some.

    Copies are never on both sides, and what lies in two classes is left out.

    Decoded images go into memory as far as `controls` allow it, and the others into `aside`. Unless
    a `value_range` is given, it is that which the images to learn from use.

    Raises:
        DataError: too little can be read to learn from, or too much lies in two classes.
    """
    contents = found.contents
    if value_range is None:
        value_range = find_value_range(contents.train, engine.threads)
    seen = SeenImages(len(contents.samples))
    images, unreadable = load_images(
        contents.samples,
        found.image_px,
        engine.backbone.input.interpolation,
        controls.cache_bytes,
        threads=engine.threads,
        on_progress=controls.tell_reading,
        aside=aside,
        value_range=value_range,
        on_image=seen.note,
    )
    sorted_out = sort_out_copies(images, contents.train_images, contents.classes, seen)
    images = sorted_out.images
    if sorted_out.own_val:
        in_val = images.indices >= contents.train_images
    else:
        in_val = split_validation(images.samples, found.val_fraction, seed, sorted_out.groups)
    train_set, val_set = (images.select(np.flatnonzero(part)) for part in (~in_val, in_val))
    _refuse_gaps(contents.classes, train_set, val_set)
    return Lesson(
        classes=contents.classes,
        train=train_set,
        val=val_set,
        image_px=found.image_px,
        full_px=found.full_px,
        fingerprint=_fingerprint(train_set, val_set),
        unreadable=unreadable,
        value_range=value_range,
        copies=sorted_out.copies,
        copy_warnings=(
            *sorted_out.warnings,
            *warn_of_near_copies(contents.samples, train_set, val_set, seen),
        ),
    )


def _refuse_gaps(classes: tuple[str, ...], train: ImageSet, val: ImageSet) -> None:
    for label in np.flatnonzero(np.bincount(train.labels, minlength=len(classes)) == 0):
        raise DataError(
            f"No image of the class {classes[label]!r} that can be read is left to learn from. "
            "Mend or add some, or remove the class."
        )
    if not len(val):
        raise DataError(
            "None of the images to validate with can be read. Mend or add some, or remove their "
            "folder, so that a part of the others is held out."
        )


def _fingerprint(train: ImageSet, val: ImageSet) -> str:
    """Hash which images there are, by place, class, size and time of change."""
    digest = hashlib.sha256()
    for part in (train, val):
        digest.update(f"{len(part)} images\n".encode())
        for place, label in enumerate(part.labels):
            origin = part.origin(place)
            digest.update(part.name(place))
            digest.update(f"\0{label} {origin.size_bytes} {origin.changed_ns}\n".encode())
    return digest.hexdigest()
