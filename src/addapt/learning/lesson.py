"""From a folder to what a run needs: images decoded, split, and recognisable later."""

import hashlib
from dataclasses import dataclass, replace
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
from addapt.learning.extending import Start
from addapt.learning.gating import static_px
from addapt.learning.held_out import Checksums, held_out_before, hold_out_again
from addapt.learning.two_looks import first_look_px

MIN_IMAGE_PX = 32
MAX_IMAGE_PX = IMAGE_PX_LIMIT


@dataclass(frozen=True)
class Lesson:
    """The images of one run. `fingerprint` tells them from any others without reading them.

    `full_px` is the size without gates; static gates of resolution make `image_px` smaller.
    `value_range` becomes 0..255 of grey values deeper than 8 bits.
    `held_out` are the checksums of images that were held out, none where the folder has a val of
    its own. `start` is the domain that is extended.
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
    held_out: Checksums | None = None
    start: Start | None = None
    start_warnings: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What did not go as it should, or makes the accuracy say less than it seems to."""
        anew = (self.train.warning,) if self.train.warning else ()
        return (*self.copy_warnings, *anew, *self.start_warnings)

    def resized(self, px: int) -> "Lesson":
        """Return the same with its images made smaller."""
        train, val = self.train.resized(px), self.val.resized(px)
        return replace(self, train=train, val=val, image_px=px)

    def in_classes(self, classes: tuple[str, ...]) -> "Lesson":
        """Return the same with its classes numbered as among these, which are all and more."""
        places = np.array([classes.index(label) for label in self.classes], np.int64)
        train, val = self.train.relabelled(places), self.val.relabelled(places)
        return replace(self, classes=classes, train=train, val=val)


@dataclass(frozen=True)
class FoundImages:
    """The image files of a folder and the size they will get; none is decoded yet.

    `val_fraction` is the share to hold out where the folder has no split of its own.
    """

    contents: ImageFolder
    image_px: int
    full_px: int
    val_fraction: float
    start: Start | None = None


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
    start: Start | None = None,
    fewest_classes: int = 2,
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
    contents = scan_folder(folder, fewest_classes=fewest_classes)
    if start is not None:
        contents = start.label(contents)
    try:
        check_classes(contents.classes)  # before the work, not after it
    except DomainError as error:
        raise DataError(f"The folder {folder} cannot be learned from. {error}") from error
    full_px = image_px or auto_image_px(contents.train, engine.backbone.input.px)
    smaller_px = full_px
    if gates is not None and gates.shrinks_images:
        # Another engine may count otherwise.
        smaller_px = start.info.image_px if start else static_px(engine, full_px, gates.compute)
    if gates is not None and gates.looks_twice:
        first_look_px(engine, full_px, gates)  # refuses what cannot be
    return FoundImages(contents, smaller_px, full_px, val_fraction, start)


def prepare_lesson(
    found: FoundImages,
    engine: Engine,
    seed: int,
    controls: Controls,
    aside: ScratchFile | None = None,
) -> Lesson:
    """Decode everything and hold out validation images unless the folder has some.

    Copies are never on both sides, and what lies in two classes is left out.

    Decoded images go into memory as far as `controls` allow it, and the others into `aside`.

    Raises:
        DataError: too little can be read to learn from, or too much lies in two classes.
    """
    contents, start = found.contents, found.start
    if start is not None:
        value_range = start.info.value_range  # the model knows no other
    else:
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
    images, own_val = sorted_out.images, sorted_out.own_val
    if own_val:
        in_val = images.indices >= contents.train_images
    else:
        in_val = split_validation(images.samples, found.val_fraction, seed, sorted_out.groups)
        before = held_out_before(start.info) if start else None
        if before is not None:
            in_val = hold_out_again(images, in_val, before)
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
        held_out=None if own_val else val_set.checksums,
        start=start,
        start_warnings=start.warnings(own_val=own_val) if start else (),
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
